"""A server that has the TimescaleDB extension: the one that TIMESCALEDB_DSN names (a superuser's), or one found here."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import OperatorError
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.postgres.embedded.installation import find_binaries
from tests.harness.database import template
from tests.servers import given_server, new_database, temporary_server

NONE_HERE = "TIMESCALEDB_DSN names no server with the TimescaleDB extension, and none is installed here"


@contextmanager
def timescaledb_server():
    """None: there is none."""
    if given := os.environ.get("TIMESCALEDB_DSN"):
        with given_server(Dsn(given)) as server:
            yield server
    elif binaries := binaries_with_timescaledb():
        with temporary_server(binaries, shared_preload_libraries="timescaledb") as server:
            yield server
    else:
        yield None


def binaries_with_timescaledb():
    candidates = [None, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    for candidate in candidates:
        try:
            folder = find_binaries(candidate).folder
        except OperatorError:
            continue
        answer = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and Path(answer.stdout.strip(), "extension/timescaledb.control").exists():
            return folder
    return None


def skip_unless_it_compresses(database):
    with connected(database) as connection:
        if value_of(connection, "SELECT current_setting('timescaledb.license')") != "timescale":
            pytest.skip("this server has TimescaleDB's Apache edition, which does not compress")


def compressing_database(server, kind):
    """A new database of the kind, on a server that compresses: the extension's Apache edition does not."""
    database = new_database(server, template(server, kind))
    skip_unless_it_compresses(database)
    return database


@pytest.fixture(scope="session")
def timescaledb():
    """A server with the extension. Without one, tests that need it are skipped and say why."""
    with timescaledb_server() as server:
        if server is None:
            pytest.skip(NONE_HERE)
        yield server
