"""Reading on from compressed chunks of a gatherer, and merging into those of production, on a server that has TimescaleDB."""

from datetime import timedelta

import pytest

from app.lake.ledger import survey
from app.merge.position import BEGINNING
from app.merge.source import GathererTable, ingest_id_of, split_rows
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.replicate.database_state import connect_to_observe, observe
from app.replicate.unknown_markets import table_ends
from app.storage.arrivals import arrivals_session
from app.storage.confirmation import deduplicator_has_it
from app.storage.retention import maintain
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_TRADES
from app.storage.writer import CopyWriter
from tests.harness.database import template
from tests.merge.recordings import ALL, Recordings
from tests.servers import new_database
from tests.storage import rows
from tests.storage.reading import rows_of
from tests.storage.test_retention import HOUR_US, NOON, PLENTY_BYTES
from tests.timescaledb import compressing_database

LATER = NOON + timedelta(days=30)
HOURS = 5
TRADES = 50
UNTOLD = 7  # of the trades: the stream did not say whether it is a block trade
FEW_ROWS = 10  # that a transaction may open, unless it says otherwise


@pytest.fixture
def gatherer(timescaledb):
    return compressing_database(timescaledb, DatabaseKind.TIMESERIES)


@pytest.fixture
def production(timescaledb):
    database = new_database(timescaledb, template(timescaledb, DatabaseKind.PRODUCTION))
    limit = f"-c timescaledb.max_tuples_decompressed_per_dml_transaction={FEW_ROWS}"
    return Dsn(f"{database.reveal()} options='{limit}'")


@pytest.fixture
def write(gatherer):
    writer = CopyWriter(ORDERBOOK_DELTAS, gatherer)
    yield writer.write
    writer.close()


@pytest.fixture
def filled(write):
    write([rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in range(HOURS)])


def compress(database, max_bytes=1):
    """Over the disk budget, whether anybody has read it or not; but for the newest row's chunk."""
    with connected(database) as connection:
        return maintain(connection, deduplicator_has_it, max_bytes, LATER).compressed


class Interrupted(GathererTable):
    """Something happens after its snapshot, once, before it reads."""

    def __init__(self, gatherer, meanwhile):
        super().__init__("a", gatherer, ORDERBOOK_DELTAS, ALL, 1_000_000)
        self.meanwhile = meanwhile

    def _read_within(self, *arguments):
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super()._read_within(*arguments)


@pytest.fixture
def source(gatherer):
    reading = GathererTable("a", gatherer, ORDERBOOK_DELTAS, ALL, 1_000_000)
    yield reading
    reading.close()


def read_ids(pull):
    return [ingest_id_of(row) for row in split_rows(pull.content)] if pull.rows else []


def ids_and_position(source, after=BEGINNING):
    pull = source.pull(after)
    return read_ids(pull), pull.through


def test_a_reader_that_begins_reads_compressed_rows_and_the_others(gatherer, source, filled, write):
    assert compress(gatherer) == HOURS - 1
    write([rows.delta(at_us=rows.NOON_US + 1, clock=99)])
    ids, position = ids_and_position(source)
    assert ids == [1, 2, 3, 4, 5, 6]
    assert ids_and_position(source, position) == ([], position)


def test_a_reader_beyond_all_compressed_rows_hears_of_a_late_row_in_a_compressed_chunk(gatherer, source, filled, write):
    _, position = ids_and_position(source)
    assert compress(gatherer) == HOURS - 1
    assert ids_and_position(source, position) == ([], position)
    write([rows.delta(at_us=rows.NOON_US + 1, clock=99)])
    ids, position = ids_and_position(source, position)
    assert ids == [6]
    assert ids_and_position(source, position) == ([], position)


def test_a_look_beyond_all_compressed_rows_opens_none(gatherer, source, filled):
    _, position = ids_and_position(source)
    compress(gatherer)
    source.pull(position)
    with source._kept.opened() as session, session, session.cursor() as cursor:
        cursor.execute("SET LOCAL timescaledb.enable_columnarscan = off")
        cursor.execute("EXPLAIN EXECUTE look_past_compressed (5, 100)")
        assert "ColumnarScan" not in str(cursor.fetchall())
        cursor.execute("SET LOCAL timescaledb.enable_columnarscan = on")
        cursor.execute("EXPLAIN EXECUTE look (5, 100)")
        assert "ColumnarScan" in str(cursor.fetchall())


def test_rows_that_are_compressed_while_they_are_read_are_read_none_the_less(gatherer, filled, write):
    reading = Interrupted(gatherer, lambda: compress(gatherer))
    assert ids_and_position(reading)[0] == [1, 2, 3, 4, 5]
    reading.close()


def test_unread_rows_that_are_compressed_meanwhile_are_not_passed_over(gatherer, source, filled, write):
    """The reader is beyond all that was compressed before, so it leaves compressed rows out."""
    compress(gatherer)
    _, position = ids_and_position(source)
    write([rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in (5, 6)])
    reading = Interrupted(gatherer, lambda: compress(gatherer))
    assert ids_and_position(reading, position)[0] == [6, 7]
    reading.close()


def test_late_rows_that_are_compressed_anew_meanwhile_are_not_passed_over(gatherer, filled, write):
    compress(gatherer)
    late = [rows.delta(at_us=rows.NOON_US + us, clock=us, ticker=f"KXLATE-{us}") for us in range(1, 2_000)]
    write([*late, rows.delta(at_us=rows.NOON_US + HOURS * HOUR_US)])
    reading = Interrupted(gatherer, lambda: compress(gatherer))
    ids, position = ids_and_position(reading)
    while (more := ids_and_position(reading, position))[0]:
        ids, position = ids + more[0], more[1]
    assert sorted(ids) == list(range(1, HOURS + len(late) + 2))
    reading.close()


def test_a_gap_in_ids_hides_no_compressed_row(gatherer, filled, write):
    """Such as many rows leave that were known already."""
    with connected(gatherer) as connection:
        value_of(connection, "SELECT setval(pg_get_serial_sequence('orderbook_deltas', 'ingest_id'), 10000)")
        connection.commit()
    write([rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in range(HOURS, HOURS + 2)])
    assert compress(gatherer) == HOURS + 1
    reading = GathererTable("a", gatherer, ORDERBOOK_DELTAS, ALL, batch_bytes=1)
    ids, position = ids_and_position(reading)
    while (more := ids_and_position(reading, position))[0]:
        ids, position = ids + more[0], more[1]
    assert ids == [1, 2, 3, 4, 5, 10_001, 10_002]
    reading.close()


def test_a_look_at_where_tables_end_is_not_misled_by_compression(gatherer, production, source, filled, write):
    _, position = ids_and_position(source)
    read = {"orderbook_deltas": position}
    with connected(production) as there:
        session = connect_to_observe(gatherer, "test")
        assert observe(session, there, "a", read).ends["orderbook_deltas"] == HOURS
        compress(gatherer)
        assert observe(session, there, "a", {}).ends["orderbook_deltas"] == HOURS
        assert observe(session, there, "a", read).ends["orderbook_deltas"] == HOURS
        write([rows.delta(at_us=rows.NOON_US + 1, clock=99)])
        assert observe(session, there, "a", read).ends["orderbook_deltas"] == HOURS + 1
        session.close()


def trade(number, at_us=rows.NOON_US, price_e6=400_000, is_block_trade=False, from_rest=False):
    return (
        at_us,
        at_us,
        100,
        price_e6,
        True,
        is_block_trade,
        from_rest,
        f"KXT-{number % 7}",
        f"trade-{number}",
        1,
        2,
        3,
    )


@pytest.fixture
def trades(timescaledb, gatherer, production):
    """A day of them is compressed in production, many more than a transaction may open unasked."""
    other = new_database(timescaledb, template(timescaledb, DatabaseKind.TIMESERIES))
    recordings = Recordings("trades", {"a": gatherer, "b": other}, production)
    day = [trade(number, rows.NOON_US + number * 1_000) for number in range(TRADES)]
    day[UNTOLD] = trade(UNTOLD, rows.NOON_US + UNTOLD * 1_000, is_block_trade=None)
    recordings.record("a", day)
    recordings.record("a", [trade(1_000, rows.NOON_US + 48 * HOUR_US)])
    recordings.catch_up()
    with connected(production) as connection:
        assert maintain(connection, deduplicator_is_never_asked, PLENTY_BYTES, LATER).compressed == 1
    yield recordings
    recordings.close()


def deduplicator_is_never_asked(*_arguments):
    return False


def in_production(production, number):
    with connected(production) as connection:
        return [row for row in rows_of(connection, PRODUCTION_TRADES) if row[-1] == f"trade-{number}"]


def opened_rows(production):
    """How many rows of the compressed day are compressed no more."""
    with connected(production) as connection:
        chunk = value_of(connection, "SELECT chunk FROM chunks('trades') WHERE is_compressed")
        return value_of(connection, f"SELECT count(*) FROM ONLY {chunk}")


def test_late_trades_come_into_a_compressed_day_and_open_nothing(trades, production):
    late = [trade(number, rows.NOON_US + number * 1_000) for number in range(TRADES - 5, TRADES + 5)]
    trades.record("a", late[5:])
    assert trades.round().new == 5
    assert len(in_production(production, TRADES + 4)) == 1
    assert opened_rows(production) == 5


def test_a_late_copy_that_knows_more_improves_a_compressed_trade(trades, production):
    assert [row[5] for row in in_production(production, UNTOLD)] == [None]
    trades.record("b", [trade(UNTOLD, rows.NOON_US + UNTOLD * 1_000)])
    trades.round()
    assert [row[5] for row in in_production(production, UNTOLD)] == [False]


def test_a_late_copy_with_a_finer_time_moves_a_compressed_trade(trades, production):
    assert [row[0] for row in in_production(production, 0)] == [rows.NOON_US]
    trades.record("b", [trade(0, rows.NOON_US + 123_000)])
    assert trades.round().new == 0
    assert [row[0] for row in in_production(production, 0)] == [rows.NOON_US + 123_000]
    with connected(production) as connection:
        assert value_of(connection, "SELECT count(*) FROM trades") == TRADES + 1


def test_the_lake_s_survey_and_the_search_for_strangers_hear_of_late_rows_in_compressed_chunks(trades, production):
    with arrivals_session(production, "test") as session, connected(production) as connection:
        seen = survey(session, PRODUCTION_TRADES, after_ingest_id=0)
        assert len(seen.hours) == 2
        assert table_ends(connection)["trades"] == seen.through_ingest_id
        trades.record("b", [trade(TRADES, rows.NOON_US + HOUR_US)])
        trades.round()
        later = survey(session, PRODUCTION_TRADES, seen.through_ingest_id)
        assert [hour for hour, _ in later.hours] == [NOON + timedelta(hours=1)]
        assert table_ends(connection)["trades"] == later.through_ingest_id > seen.through_ingest_id
