import os

import pytest

from app import logs
from app.databases import Kind
from app.postgres.connection import connected
from app.store.migrations import migrate, migrations_of
from tests.admin.ops import running_ops
from tests.servers import new_database, temporary_server

# The specifications' folder is for tests alone: a process of ours would refuse it as an unknown setting.
SPECIFICATIONS_FOLDER = os.environ.pop("KALSHI_SPEC_DIR", None)


@pytest.fixture(scope="session", autouse=True)
def _readable_logs():
    logs.configure("text", "debug")


@pytest.fixture(scope="session")
def server():
    """One database server for all tests that only need one."""
    # Nothing in a test's database needs to survive a power cut.
    with temporary_server(fsync="off", max_connections="300") as running:
        yield running


@pytest.fixture(scope="session")
def templates(server):
    made = {}
    for kind in Kind:
        made[kind] = new_database(server)
        with connected(made[kind]) as connection:
            migrate(connection, migrations_of(kind))
    return made


@pytest.fixture
def empty_database(server):
    return new_database(server)


@pytest.fixture
def timeseries(server, templates):
    """A gatherer's time series database, freshly migrated."""
    return new_database(server, templates[Kind.TIMESERIES])


@pytest.fixture
def production(server, templates):
    return new_database(server, templates[Kind.PRODUCTION])


@pytest.fixture
def connection(timeseries):
    with connected(timeseries) as opened:
        yield opened


@pytest.fixture(scope="session")
def ops():
    """One process with an ops port for all tests that leave it as they found it."""
    with running_ops() as started:
        yield started
