import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.lake.binding import bind
from app.lake.layout import PROCESSED
from app.lake.ledger import open_ledger, survey
from app.postgres.connection import connected, value_of
from app.storage.arrivals import arrivals_session
from app.storage.confirmation import all_chunks, deduplicator_has_it, lake_has_it
from app.storage.retention import AHEAD, maintain
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.processes import wait_until
from tests.storage import rows

NOON = datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000
PLENTY_BYTES = 10**12
LAKE = UUID(int=1)


@pytest.fixture
def filled(timeseries):
    """Three hours of deltas, from noon on."""
    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    writer.write([rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour) for hour in (0, 1, 2)])
    writer.close()


def ids_by_hour(connection):
    return value_of(connection, "SELECT array_agg(ingest_id ORDER BY exchange_ts) FROM orderbook_deltas")


def confirm(connection, hours, production="the one"):
    """A production has so many of the hours."""
    ingest_id = [0, *ids_by_hour(connection)][hours]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO confirmations (production, table_name, ingest_id) VALUES (%s, 'orderbook_deltas', %s) "
            "ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id",
            (production, ingest_id),
        )
    connection.commit()


def hours_left(connection):
    chunks = [chunk for chunk in all_chunks(connection) if chunk.table == "orderbook_deltas"]
    connection.commit()
    return sorted({(chunk.range_start - NOON) // HOUR for chunk in chunks} & {0, 1, 2})


def round_of(connection, now, max_bytes=PLENTY_BYTES, confirmed=deduplicator_has_it):
    return maintain(connection, confirmed, max_bytes, now)


def test_room_is_made_ahead_once(connection):
    first = round_of(connection, NOON)
    hours, days = AHEAD // HOUR + 1, AHEAD // timedelta(days=1) + 1
    assert first.created == 4 * hours + days
    assert round_of(connection, NOON).created == 0
    assert max(chunk.range_end for chunk in all_chunks(connection)) >= NOON + AHEAD


def test_nothing_goes_before_its_age(connection, filled):
    confirm(connection, hours=3)
    assert round_of(connection, NOON + timedelta(days=7)).dropped == 0
    assert hours_left(connection) == [0, 1, 2]


def test_a_confirmed_chunk_goes_when_it_is_past_its_age(connection, filled):
    confirm(connection, hours=2)
    done = round_of(connection, NOON + timedelta(days=7, hours=2))
    assert (done.dropped, done.unconfirmed) == (2, 0)
    assert hours_left(connection) == [2]


def test_what_the_deduplicator_does_not_have_stays_at_any_age(connection, filled):
    confirm(connection, hours=1)
    done = round_of(connection, NOON + timedelta(days=400))
    assert done.unconfirmed == 2
    assert hours_left(connection) == [1, 2]


def test_what_a_production_has_not_begun_to_read_stays_though_it_reads_other_tables(connection, filled):
    confirm(connection, 3)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO confirmations (production, table_name, ingest_id) VALUES ('another', 'trades', 9)")
    round_of(connection, NOON + timedelta(days=30))
    assert hours_left(connection) == [0, 1, 2]
    confirm(connection, 2, "another")
    round_of(connection, NOON + timedelta(days=30))
    assert hours_left(connection) == [2]


def test_over_the_budget_the_oldest_goes_before_its_age(connection, filled):
    confirm(connection, hours=3)
    now = NOON + 3 * HOUR
    before = round_of(connection, now)
    done = round_of(connection, now, max_bytes=before.size_bytes - 1)
    assert done.dropped == 1
    assert hours_left(connection) == [1, 2]


def test_over_the_budget_what_is_unconfirmed_stays_and_what_is_confirmed_goes_in_its_place(connection, filled):
    confirm(connection, hours=0)
    now = NOON + 3 * HOUR
    before = round_of(connection, now)
    assert round_of(connection, now, max_bytes=before.size_bytes - 1)[2:4] == (0, 3)
    assert hours_left(connection) == [0, 1, 2]


def test_a_chunk_that_still_fills_stays_over_any_budget(connection, filled):
    confirm(connection, hours=3)
    assert round_of(connection, NOON + 2 * HOUR, max_bytes=0).dropped == 2
    assert hours_left(connection) == [2]


def test_a_chunk_in_use_is_left_for_the_next_round(connection, timeseries, filled):
    confirm(connection, hours=3)
    now = NOON + timedelta(days=7, hours=1)
    with connected(timeseries) as reader:
        value_of(reader, f"SELECT count(*) FROM orderbook_deltas_{NOON:%Y%m%d_%H%M}")
        assert round_of(connection, now)[2:5] == (0, 0, 1)
    assert round_of(connection, now)[2:5] == (1, 0, 0)


def test_a_row_that_comes_between_the_confirmation_and_the_drop_keeps_its_chunk(connection, timeseries, filled):
    late = rows.delta(at_us=rows.NOON_US + 1, clock=99)

    def confirmed(*looked_at):
        is_safe = deduplicator_has_it(*looked_at)
        writer = CopyWriter(ORDERBOOK_DELTAS, timeseries)
        writer.write([late])
        writer.close()
        return is_safe

    confirm(connection, hours=1)
    now = NOON + timedelta(days=7, hours=1)
    assert round_of(connection, now, confirmed=confirmed)[2:5] == (0, 0, 1)
    assert round_of(connection, now)[2:5] == (0, 1, 0)
    assert value_of(connection, "SELECT array_agg(clock ORDER BY clock) FROM orderbook_deltas") == [0, 1, 2, 99]


def test_only_one_process_at_a_time_is_at_it(connection, timeseries):
    assert round_of(connection, NOON) is not None
    with connected(timeseries) as other:
        assert round_of(other, NOON) is None
    connection.close()
    with connected(timeseries) as other:
        assert round_of(other, NOON) is not None


def test_a_writer_in_the_middle_of_a_transaction_is_no_deadlock(connection, timeseries, filled):
    """Both lock the table first: who holds it has the chunk, and dropping waits in vain and comes back."""
    confirm(connection, hours=3)
    now = NOON + timedelta(days=7, hours=1)
    with connected(timeseries) as busy:
        value_of(busy, "SELECT count(*) FROM ONLY orderbook_deltas")
        done = []
        dropping = threading.Thread(target=lambda: done.append(round_of(connection, now)))
        dropping.start()
        wait_until(
            lambda: value_of(
                busy,
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
        )
        value_of(busy, f"SELECT count(*) FROM orderbook_deltas_{NOON:%Y%m%d_%H%M}")
        dropping.join()
    assert done[0][2:5] == (0, 0, 1)


@pytest.fixture
def day_in_production(production):
    writer = CopyWriter(PRODUCTION_ORDERBOOK_DELTAS, production)
    writer.write([rows.delta(at_us=rows.NOON_US + hour * HOUR_US, clock=hour, lineage=()) for hour in (0, 1)])
    writer.close()
    with connected(production) as opened:
        yield opened


def export(connection, hour, through, verified):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE exports SET (through_ingest_id, verified_at) = (%s, %s) WHERE hour = %s",
            (through, NOON if verified else None, hour),
        )
        assert cursor.rowcount == 1
    connection.commit()


def survey_for_the_lake(dsn):
    dataset = PROCESSED["orderbook_deltas"]
    with connected(dsn) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO lakes (lake_id, location) VALUES (%s, '/lake') ON CONFLICT DO NOTHING", (str(LAKE),)
            )
        connection.commit()
        bind(connection, LAKE)
    with arrivals_session(dsn, "test") as session, open_ledger(dsn, LAKE) as ledger:
        ledger.note(dataset, survey(session, dataset.table, ledger.surveyed_through(dataset)))


@pytest.mark.parametrize(
    ("exported", "dropped"),
    [
        ([], 0),
        ([(NOON, 1, True)], 0),
        ([(NOON, 1, True), (NOON + HOUR, 2, False)], 0),
        ([(NOON, 0, True), (NOON + HOUR, 2, True)], 0),
        ([(NOON, 1, True), (NOON + HOUR, 2, True)], 1),
    ],
    ids=["nothing", "one hour of two", "one not verified", "one older than its last row", "all"],
)
def test_production_keeps_a_day_until_every_hour_of_it_is_verified_in_the_lake(
    production, day_in_production, exported, dropped
):
    survey_for_the_lake(production)
    ids = ids_by_hour(day_in_production)
    for hour, through, verified in exported:
        export(day_in_production, hour, [0, *ids][through], verified)
    done = maintain(day_in_production, lake_has_it, PLENTY_BYTES, NOON + timedelta(days=91))
    assert (done.dropped, done.unconfirmed) == (dropped, 1 - dropped)


def test_production_keeps_a_day_that_has_rows_which_the_lake_has_not_seen(production, day_in_production):
    survey_for_the_lake(production)
    for number, hour in enumerate((NOON, NOON + HOUR)):
        export(day_in_production, hour, ids_by_hour(day_in_production)[number], verified=True)
    writer = CopyWriter(PRODUCTION_ORDERBOOK_DELTAS, production)
    writer.write([rows.delta(clock=9, lineage=())])
    writer.close()
    assert maintain(day_in_production, lake_has_it, PLENTY_BYTES, NOON + timedelta(days=91)).unconfirmed == 1


def test_production_keeps_trades_for_ever(production):
    with connected(production) as opened:
        value_of(opened, "SELECT ensure_chunk('trades', %s)", (NOON,))
        assert maintain(opened, lake_has_it, PLENTY_BYTES, NOON + timedelta(days=3650)).dropped == 0


def test_production_keeps_a_day_while_an_hour_beside_it_is_to_be_written_again(production, day_in_production):
    """A row of this day may belong into that hour, and is read for it."""
    survey_for_the_lake(production)
    for number, hour in enumerate((NOON, NOON + HOUR)):
        export(day_in_production, hour, ids_by_hour(day_in_production)[number], verified=True)
    evening = NOON.replace(hour=0) - HOUR
    with open_ledger(production, LAKE) as ledger:
        ledger.reopen(PROCESSED["orderbook_deltas"], evening)
        later = NOON + timedelta(days=91)
        assert maintain(day_in_production, lake_has_it, PLENTY_BYTES, later).unconfirmed == 1
        ledger.reopen(PROCESSED["orderbook_deltas"], evening - HOUR)
    export(day_in_production, evening, 1, verified=True)
    assert maintain(day_in_production, lake_has_it, PLENTY_BYTES, later).dropped == 1
