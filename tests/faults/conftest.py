import pytest

from tests.faults.gathering import Databases, exchange


@pytest.fixture
def databases(server, templates):
    return Databases(server, templates)


@pytest.fixture
def simulator(tmp_path):
    with exchange(tmp_path) as simulator:
        yield simulator
