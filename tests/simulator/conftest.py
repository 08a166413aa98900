import pytest

from tests.simulator.running import Client, running_simulator


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts simulators that end with the module."""
    running = []

    def begin(*options):
        context = running_simulator(tmp_path_factory.mktemp("simulator"), *options)
        simulator = context.__enter__()
        running.append(context)
        return simulator

    yield begin
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def simulator(start):
    return start("--markets", "300", "--rate", "300", "--tier", "unlimited")


@pytest.fixture
def client(simulator):
    with simulator.connect() as connection:
        yield Client(connection)
