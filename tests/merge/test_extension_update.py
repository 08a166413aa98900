"""An update of TimescaleDB between compressed chunks, as ansible/roles/updates/tasks/extension.yml makes it, on a server that
has an earlier version beside its own."""

from datetime import timedelta

import pytest

from app.lake.ledger import survey
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.arrivals import arrivals_session
from app.storage.confirmation import deduplicator_has_it
from app.storage.migrations import migrate, migrations_of
from app.storage.retention import maintain
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.merge.recordings import Recordings
from tests.servers import administering, end_sessions, new_database
from tests.storage import rows
from tests.storage.reading import rows_of
from tests.storage.test_retention import HOUR_US, NOON
from tests.timescaledb import skip_unless_it_compresses

GATHERERS = ("a", "b")
HOURS = 48
MARKETS = 20
LATER = NOON + timedelta(days=30)
EARLIER = """
    SELECT source FROM pg_extension_update_paths('timescaledb')
    JOIN pg_available_extensions ON name = 'timescaledb' AND target = default_version
    JOIN pg_available_extension_versions AS v ON v.name = 'timescaledb' AND v.version = source
    WHERE path IS NOT NULL AND source <> target ORDER BY string_to_array(source, '.')::INTEGER [] DESC LIMIT 1
"""
IS_OLDER = """
    SELECT count(*) FROM pg_extension JOIN pg_available_extensions ON name = extname
    WHERE extname = 'timescaledb' AND extversion <> default_version
"""
CHUNKS = """
    SELECT array_agg((c.chunk, c.range_start, c.is_compressed) ORDER BY c.chunk)
    FROM chunked_tables AS t, chunks(t.table_name) AS c
"""
QUERIES = (
    "SELECT array_agg(t ORDER BY t) FROM chunked_tables AS t",
    "SELECT array_agg(s ORDER BY s) FROM timescaledb_information.chunk_compression_settings AS s",
    CHUNKS,
    "SELECT array_agg(d.ingest_id ORDER BY d.ingest_id) FROM orderbook_deltas AS d WHERE ticker = 'KXTEST-7'",
    "SELECT sum(delta_e2 * clock) FROM orderbook_deltas",
    "SELECT array_agg(d ORDER BY ingest_id) FROM orderbook_deltas AS d WHERE exchange_ts < '2026-11-01 14:00+00'",
    "SELECT (max(ingest_id), count(*)) FROM orderbook_deltas WHERE ingest_id > 300",
)


@pytest.fixture
def earlier(timescaledb):
    """A version that the server can be brought to its own from."""
    with administering(timescaledb.dsn("postgres")) as cursor:
        cursor.execute(EARLIER)
        found = cursor.fetchone()
    if found is None:
        pytest.skip("this server has no earlier version of TimescaleDB beside its own to update from")
    return found[0]


@pytest.fixture
def database_of(timescaledb, earlier):
    def make(kind):
        database = new_database(timescaledb)
        with administering(database) as cursor:
            cursor.execute(f"CREATE EXTENSION timescaledb VERSION '{earlier}'")
        skip_unless_it_compresses(database)
        with connected(database) as connection:
            migrate(connection, migrations_of(kind))
        return database

    return make


@pytest.fixture
def gatherers(database_of):
    return {name: database_of(DatabaseKind.TIMESERIES) for name in GATHERERS}


@pytest.fixture
def production(database_of):
    return database_of(DatabaseKind.PRODUCTION)


@pytest.fixture
def recordings(gatherers, production):
    merging = Recordings("orderbook_deltas", gatherers, production)
    yield merging
    merging.close()


def changes(hours, clock=0):
    return [
        rows.delta(rows.NOON_US + hour * HOUR_US + market, f"KXTEST-{market}", clock + hour)
        for hour in hours
        for market in range(MARKETS)
    ]


def compress(database):
    """What is old, whoever has read it."""
    with connected(database) as connection:
        return maintain(connection, deduplicator_has_it, max_bytes=1, now=LATER).compressed


def answers(database):
    with connected(database) as connection:
        return [value_of(connection, query) for query in QUERIES]


def is_older(database):
    """Asked as the playbook asks: without the extension, whose former files may be gone."""
    with connected(type(database)(f"{database.reveal()} options='-c timescaledb.disable_load=on'")) as connection:
        return value_of(connection, IS_OLDER) == 1


def update(database):
    """The first command of a session of its own; the restart that follows ends the sessions with the former version."""
    assert is_older(database)
    with administering(database) as cursor:
        cursor.execute("ALTER EXTENSION timescaledb UPDATE")
    assert not is_older(database)
    end_sessions(database, "")


def merged_rows(production):
    with connected(production) as connection:
        return sorted(rows_of(connection, PRODUCTION_ORDERBOOK_DELTAS))


def test_what_was_compressed_before_reads_the_same_and_following_goes_on(gatherers, production, recordings):
    """One gatherer is updated with rows that nobody has read yet, the other one without."""
    recorded = changes(range(HOURS))
    recordings.record("a", recorded)
    recordings.catch_up()
    recordings.record("b", recorded)
    recordings.record("b", changes([HOURS]))
    databases = (*gatherers.values(), production)
    assert all(compress(database) > 0 for database in databases)
    before = [answers(database) for database in databases]
    for database in databases:
        update(database)
    assert [answers(database) for database in databases] == before
    # Every process connects anew: the restart has ended its sessions.
    recordings.close()
    recordings.forget()
    late = changes(range(3), clock=1_000)
    recordings.record("a", late)
    recordings.record("b", [*late, *changes([HOURS + 1])])
    recordings.catch_up()
    expected = [*recorded, *late, *changes([HOURS, HOURS + 1])]
    assert merged_rows(production) == sorted(row[:-3] for row in expected)
    # Of each gatherer the chunk that had the newest row before; production's newest row is still in the same chunk of a day.
    assert [compress(database) for database in databases] == [1, 1, 0]
    assert merged_rows(production) == sorted(row[:-3] for row in expected)
    with arrivals_session(production, "test") as session:
        assert len(survey(session, PRODUCTION_ORDERBOOK_DELTAS, after_ingest_id=0).hours) == HOURS + 2
