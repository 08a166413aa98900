import pytest

from tests.kalshi.exchange import FakeExchange


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """What is on loopback is asked directly, whatever the environment says."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def exchange():
    with FakeExchange().running() as running:
        yield running
