import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime import logs
from tests.harness import compiling, database, distribution, hanging, kept, progress
from tests.harness.database import shared_server, templates_of
from tests.ops.ops import running_ops
from tests.servers import new_database
from tests.timescaledb import timescaledb as timescaledb  # noqa: PLC0414 - a fixture for all tests

# The specifications' folder is for tests alone: a process of ours would refuse it as an unknown setting.
SPECIFICATIONS_FOLDER = os.environ.pop("KALSHI_SPEC_DIR", None)

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    for plugin in (compiling, database, distribution, hanging, kept, progress):
        config.pluginmanager.register(plugin)


# At this level they tell every frame and every header: more work than what many a test tests.
TALKATIVE = ("botocore", "urllib3", "websockets")


@pytest.fixture(scope="session", autouse=True)
def _readable_logs():
    logs.configure("text", "debug")
    for library in TALKATIVE:
        logging.getLogger(library).setLevel(logging.INFO)


@pytest.fixture(scope="session")
def server(pytestconfig):
    """One database server for all tests that only need one."""
    with shared_server(pytestconfig) as running:
        yield running


@pytest.fixture(scope="session")
def templates(server):
    return templates_of(server)


@pytest.fixture
def empty_database(server):
    return new_database(server)


@pytest.fixture
def timeseries(server, templates):
    """A gatherer's time series database, freshly migrated."""
    return new_database(server, templates[DatabaseKind.TIMESERIES])


@pytest.fixture
def production(server, templates):
    return new_database(server, templates[DatabaseKind.PRODUCTION])


@pytest.fixture
def connection(timeseries):
    with connected(timeseries) as opened:
        yield opened


@pytest.fixture
def synced(monkeypatch):
    """The files and folders that were synced, in that order."""
    found, sync = [], os.fsync

    def fsync(descriptor):
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.fixture(scope="session")
def ops():
    """One process with an ops port for all tests that leave it as they found it."""
    with running_ops() as started:
        yield started
