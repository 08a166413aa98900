import pytest

from tests.kalshi.sockets.scripted_server import Authority


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture(params=["plain", "TLS"])
def transport(request, authority):
    """None for a plain connection, the authority for an encrypted one."""
    return None if request.param == "plain" else authority
