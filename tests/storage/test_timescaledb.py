"""The other way of keeping chunks, on a server that has the extension: tests/timescaledb.py says which."""

from datetime import timedelta

import pytest

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.confirmation import all_chunks, deduplicator_has_it
from app.storage.migrations import migrate, migrations_of
from app.storage.retention import maintain
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.harness.database import template
from tests.servers import new_database
from tests.storage import rows
from tests.storage.reading import rows_of
from tests.storage.test_retention import HOUR, HOUR_US, NOON, PLENTY_BYTES
from tests.timescaledb import skip_unless_it_compresses

HOURS = 4
LATER = NOON + timedelta(days=2)  # all hours but today's are old enough to be compressed
AS_BEFORE_0065 = 64
SETTINGS = """
    SELECT DISTINCT segmentby, orderby FROM timescaledb_information.chunk_compression_settings
    WHERE hypertable = 'orderbook_deltas'::REGCLASS
"""


@pytest.fixture
def hypertables(timescaledb):
    return new_database(timescaledb, template(timescaledb, DatabaseKind.TIMESERIES))


@pytest.fixture
def compressing(hypertables):
    skip_unless_it_compresses(hypertables)
    return hypertables


@pytest.fixture
def connection(hypertables):
    with connected(hypertables) as opened:
        yield opened


@pytest.fixture
def write(hypertables):
    writer = CopyWriter(ORDERBOOK_DELTAS, hypertables)
    yield writer.write
    writer.close()


@pytest.fixture
def filled(write):
    """One row in each hour from noon on."""
    batch = [rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in range(HOURS)]
    write(batch)
    return batch


def confirm_all(connection):
    with connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO confirmations (production, table_name, ingest_id)
            SELECT 'the one', 'orderbook_deltas', max(ingest_id) FROM orderbook_deltas
            ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id
        """)
    connection.commit()


def compress(connection, now=LATER, max_bytes=PLENTY_BYTES):
    return maintain(connection, deduplicator_has_it, max_bytes, now).compressed


def compressed_hours(connection):
    return sorted(
        (chunk.range_start - NOON) // HOUR
        for chunk in all_chunks(connection)
        if chunk.table == "orderbook_deltas" and chunk.is_compressed
    )


@pytest.mark.parametrize("kind", [DatabaseKind.TIMESERIES, DatabaseKind.PRODUCTION], ids=lambda kind: kind.name)
def test_every_record_table_becomes_a_hypertable(timescaledb, kind):
    with connected(new_database(timescaledb, template(timescaledb, kind))) as connection:
        assert value_of(connection, "SELECT count(*) FROM timescaledb_information.hypertables") == 5
        assert value_of(connection, "SELECT array_agg(DISTINCT strategy) FROM chunked_tables") == ["hypertable"]


def test_the_writer_needs_no_chunks_made_for_it(connection, write):
    batch = [rows.delta(at_us=rows.NOON_US + hours * HOUR_US) for hours in (-9_000, 0, 9_000)]
    assert write(batch) == (3, 0, 0)
    assert write([*batch, rows.delta(price_e6=2_000_000)]) == (0, 3, 1)
    assert rows_of(connection, ORDERBOOK_DELTAS) == batch


def test_chunks_go_when_they_are_confirmed(connection, filled):
    after_a_week = NOON + timedelta(days=7) + 2 * HOUR
    assert maintain(connection, deduplicator_has_it, PLENTY_BYTES, after_a_week).unconfirmed == 2
    confirm_all(connection)
    assert maintain(connection, deduplicator_has_it, PLENTY_BYTES, after_a_week).dropped == 2
    assert rows_of(connection, ORDERBOOK_DELTAS) == filled[2:]


def test_a_late_row_keeps_its_chunk_until_it_is_confirmed(connection, filled, write):
    after_a_week = NOON + timedelta(days=7) + HOUR
    confirm_all(connection)
    late = rows.delta(clock=99)
    assert write([late]) == (1, 0, 0)
    assert maintain(connection, deduplicator_has_it, PLENTY_BYTES, after_a_week).unconfirmed == 1
    confirm_all(connection)
    assert maintain(connection, deduplicator_has_it, PLENTY_BYTES, after_a_week).dropped == 1
    assert rows_of(connection, ORDERBOOK_DELTAS) == filled[1:]


def test_what_was_read_is_compressed_but_for_the_newest_row_s_chunk(compressing, connection, filled):
    confirm_all(connection)
    assert compress(connection) == HOURS - 1
    assert compressed_hours(connection) == [0, 1, 2]
    assert rows_of(connection, ORDERBOOK_DELTAS) == filled


def test_what_is_still_to_be_read_is_compressed_only_over_the_disk_budget(compressing, connection, filled):
    assert compress(connection) == 0
    assert compress(connection, max_bytes=1) == HOURS - 1
    assert rows_of(connection, ORDERBOOK_DELTAS) == filled


def test_late_rows_come_into_compressed_chunks_once_and_are_compressed_too(compressing, connection, filled, write):
    confirm_all(connection)
    compress(connection)
    late = [rows.delta(at_us=rows.NOON_US + us, clock=us, ticker=f"KXLATE-{us}") for us in range(1, 3_000)]
    assert write([*filled, *late]) == (len(late), HOURS, 0)
    assert write([*filled, *late]) == (0, HOURS + len(late), 0)
    assert compress(connection) == 1, "the hour that had the newest row; no reader has confirmed the late ones"
    write([rows.delta(at_us=rows.NOON_US + HOURS * HOUR_US, clock=HOURS)])
    confirm_all(connection)
    compress(connection)
    assert compress(connection) == 0, "it finds no more to do"
    held = value_of(
        connection, "SELECT array_agg(has_late_rows(chunk)) FROM chunks('orderbook_deltas') WHERE is_compressed"
    )
    assert held == [False] * HOURS
    assert value_of(connection, "SELECT count(*) FROM orderbook_deltas") == HOURS + len(late) + 1


def test_a_market_s_few_rows_an_hour_take_less_room_compressed(compressing, connection, write):
    """A batch for each market would be larger than its rows."""
    quiet = [
        rows.delta(at_us=rows.NOON_US + number, clock=number, ticker=f"KXQUIET-{number}") for number in range(3_000)
    ]
    write([*quiet, rows.delta(at_us=rows.NOON_US + HOUR_US)])
    confirm_all(connection)
    before = all_chunks(connection)[0].size_bytes
    assert compress(connection) == 1
    assert all_chunks(connection)[0].size_bytes < before / 3


def test_chunks_of_the_old_form_are_compressed_anew_once_they_are_read(timescaledb):
    database = new_database(timescaledb)
    known = migrations_of(DatabaseKind.TIMESERIES)
    with connected(database) as connection:
        migrate(connection, [each for each in known if each.number <= AS_BEFORE_0065])
        skip_unless_it_compresses(database)
        writer = CopyWriter(ORDERBOOK_DELTAS, database)
        batch = [rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in range(HOURS)]
        writer.write(batch)
        value_of(connection, "SELECT count(compress_chunk(c)) FROM show_chunks('orderbook_deltas') AS c")
        connection.commit()
        migrate(connection, known)
        assert rows_of(connection, ORDERBOOK_DELTAS) == batch
        assert compress(connection) == 0
        batch.append(rows.delta(at_us=rows.NOON_US + HOURS * HOUR_US, clock=HOURS))
        writer.write(batch[-1:])
        confirm_all(connection)
        assert compress(connection) == HOURS
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            assert cursor.fetchall() == [("", "ticker,exchange_ts")]
        assert rows_of(connection, ORDERBOOK_DELTAS) == batch
        writer.close()
