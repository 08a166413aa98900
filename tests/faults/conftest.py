import pytest

from tests.faults.gathering import Databases
from tests.simulator.running import running_simulator


@pytest.fixture
def databases(server, templates):
    return Databases(server, templates)


@pytest.fixture
def simulator(tmp_path):
    with running_simulator(tmp_path / "simulator", "--markets", 300, "--rate", 400, "--tier", "unlimited") as simulator:
        yield simulator
