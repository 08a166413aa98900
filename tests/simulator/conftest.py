import contextlib

import pytest

from tests.simulator.running import Client, running_simulator


@contextlib.contextmanager
def launcher(tmp_path_factory):
    """Starts simulators that all end with it."""
    with contextlib.ExitStack() as running:

        def launch(*options):
            return running.enter_context(running_simulator(tmp_path_factory.mktemp("simulator"), *options))

        yield launch


@pytest.fixture
def start(tmp_path_factory):
    with launcher(tmp_path_factory) as launch:
        yield launch


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory):
    with launcher(tmp_path_factory) as launch:
        yield launch


@pytest.fixture(scope="module")
def simulator(start_for_module):
    return start_for_module("--markets", "100", "--rate", "300", "--tier", "unlimited")


@pytest.fixture
def client(simulator):
    with simulator.connect() as connection:
        yield Client(connection)
