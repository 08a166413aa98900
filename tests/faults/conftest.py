import pytest

from tests.faults.gathering import Databases, exchange
from tests.faults.platform import Platform
from tests.servers import temporary_server


@pytest.fixture
def databases(server, templates):
    return Databases(server, templates)


@pytest.fixture
def simulator(tmp_path):
    with exchange(tmp_path) as simulator:
        yield simulator


@pytest.fixture
def platform_with(server, templates, tmp_path):
    """With servers of their own for some."""
    with exchange(tmp_path, "--rate", 100, "--heartbeat", 2) as simulator:
        yield lambda **own: Platform(server, templates, simulator, tmp_path, **own)


@pytest.fixture
def platform(platform_with):
    return platform_with()


@pytest.fixture
def another_server():
    with temporary_server(fsync="off", shared_buffers="64MB") as running:
        yield running
