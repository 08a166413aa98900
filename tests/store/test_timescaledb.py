"""The other way of keeping chunks, on a server that has the extension: one found here, or TIMESCALEDB_DSN (a superuser's)."""

import os
import subprocess
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn

from app.databases import Kind
from app.errors import OperatorError
from app.postgres.binaries import find_binaries
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.store.chunks import all_chunks
from app.store.confirmation import deduplicator_has_it
from app.store.maintenance import maintain
from app.store.migrations import migrate, migrations_of
from app.store.tables import ORDERBOOK_DELTAS
from app.store.writer import CopyWriter
from tests.servers import new_database, temporary_server
from tests.store import rows
from tests.store.reading import rows_of
from tests.store.test_maintenance import HOUR, HOUR_US, NOON, PLENTY_BYTES, confirm


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


@pytest.fixture(scope="module")
def timescaledb_database():
    """A new database for each call, on a server with the extension loaded."""
    if given := os.environ.get("TIMESCALEDB_DSN"):
        yield lambda: database_on(Dsn(given))
    elif binaries := binaries_with_timescaledb():
        with temporary_server(binaries, shared_preload_libraries="timescaledb") as server:
            yield lambda: new_database(server)
    else:
        pytest.skip("no server here has the TimescaleDB extension, and TIMESCALEDB_DSN names none")


def database_on(server):
    name = f"test_{uuid.uuid4().hex}"
    with connected(server) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
    return Dsn(make_dsn(server.reveal(), dbname=name))


@pytest.fixture
def hypertables(timescaledb_database):
    database = timescaledb_database()
    with connected(database) as connection:
        migrate(connection, migrations_of(Kind.TIMESERIES))
    return database


@pytest.mark.parametrize("kind", [Kind.TIMESERIES, Kind.PRODUCTION], ids=lambda kind: kind.name)
def test_every_record_table_becomes_a_hypertable(timescaledb_database, kind):
    with connected(timescaledb_database()) as connection:
        migrate(connection, migrations_of(kind))
        assert value_of(connection, "SELECT count(*) FROM timescaledb_information.hypertables") == 5
        assert value_of(connection, "SELECT array_agg(DISTINCT strategy) FROM chunked_tables") == ["hypertable"]


def test_the_writer_needs_no_chunks_made_for_it(hypertables):
    writer = CopyWriter(ORDERBOOK_DELTAS, hypertables)
    batch = [rows.delta(at_us=rows.NOON_US + hours * HOUR_US) for hours in (-9_000, 0, 9_000)]
    assert writer.write(batch) == (3, 0, 0)
    assert writer.write([*batch, rows.delta(price_e6=2_000_000)]) == (0, 3, 1)
    writer.close()
    with connected(hypertables) as connection:
        assert rows_of(connection, ORDERBOOK_DELTAS) == batch


def test_old_chunks_are_compressed_and_take_late_rows_and_go_when_confirmed(hypertables):
    writer = CopyWriter(ORDERBOOK_DELTAS, hypertables)
    batch = [rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in range(3)]
    writer.write(batch)
    with connected(hypertables) as connection:
        if value_of(connection, "SELECT current_setting('timescaledb.license')") == "timescale":
            done = maintain(connection, deduplicator_has_it, PLENTY_BYTES, NOON + timedelta(days=2))
            assert done.compressed == 3
            assert all(chunk.is_compressed for chunk in all_chunks(connection))
            connection.commit()
        assert writer.write([*batch, rows.delta(clock=9)]) == (1, 3, 0)
        confirm(connection, hours=4)
        assert maintain(connection, deduplicator_has_it, PLENTY_BYTES, NOON + timedelta(days=7) + 2 * HOUR).dropped == 2
        assert value_of(connection, "SELECT count(*) FROM orderbook_deltas") == 1
    writer.close()
