"""Servers, databases and folders of a recorder. It stands alone: pytest looks for fixtures here."""

import pytest

from tests.servers import temporary_folder, temporary_server
from tests.workers.recording_process import new_databases


@pytest.fixture(scope="module")
def own_server():
    with temporary_server(fsync="off") as running:
        yield running


@pytest.fixture
def databases(own_server):
    return new_databases(own_server)


@pytest.fixture
def folder():
    with temporary_folder() as made:
        yield made
