import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.postgres.connection import connected, value_of
from app.storage.confirmation import Chunk, all_chunks, is_past_its_age, oldest_first

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENSURE = "SELECT ensure_chunk('orderbook_deltas', %s)"


def chunk(range_end, table="trades"):
    return Chunk(table, f"{table}_x", range_end - HOUR, range_end, 1, is_compressed=False)


def chunks_of(connection, table):
    return [chunk for chunk in all_chunks(connection) if chunk.table == table]


def test_a_chunk_holds_one_hour_or_one_day_in_utc(connection):
    moment = NOON + timedelta(minutes=34)
    value_of(connection, "SELECT ensure_chunk('orderbook_deltas', %s)", (moment,))
    value_of(connection, "SELECT ensure_chunk('trades', %s)", (moment,))
    bounds = {chunk.table: (chunk.range_start, chunk.range_end) for chunk in all_chunks(connection)}
    midnight = NOON.replace(hour=0)
    assert bounds == {"orderbook_deltas": (NOON, NOON + HOUR), "trades": (midnight, midnight + timedelta(days=1))}


def test_bounds_do_not_depend_on_the_session_s_time_zone(connection):
    value_of(connection, "SELECT set_config('timezone', 'America/New_York', FALSE)")
    value_of(connection, "SELECT ensure_chunk('trades', %s)", (datetime(2026, 11, 1, 5, 30, tzinfo=UTC),))
    (made,) = all_chunks(connection)
    assert (made.name, made.range_start) == ("trades_20261101_0000", datetime(2026, 11, 1, tzinfo=UTC))


def test_a_chunk_is_made_once(connection):
    assert value_of(connection, ENSURE, (NOON,)) is True
    assert value_of(connection, ENSURE, (NOON + HOUR / 2,)) is False


def test_many_at_once_make_a_chunk_once(timeseries):
    outcomes = []

    def run():
        with connected(timeseries) as own:
            outcomes.append(value_of(own, ENSURE, (NOON,)))
            own.commit()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 5 + [True]


def test_making_a_chunk_waits_for_no_reader_and_no_writer(timeseries, connection):
    value_of(connection, ENSURE, (NOON,))
    connection.commit()
    with connected(timeseries) as busy, connected(timeseries) as maker, busy.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orderbook_deltas")
        cursor.execute("LOCK TABLE orderbook_deltas IN ROW EXCLUSIVE MODE")
        value_of(maker, "SELECT set_config('lock_timeout', '2s', FALSE)")
        assert value_of(maker, ENSURE, (NOON + HOUR,)) is True
        maker.commit()


def test_room_is_made_for_a_whole_span(connection):
    query = "SELECT ensure_chunks('orderbook_deltas', %s, %s)"
    assert value_of(connection, query, (NOON, NOON + 5 * HOUR)) == 6
    assert value_of(connection, query, (NOON, NOON + 6 * HOUR)) == 1


def test_a_chunk_that_got_rows_after_the_last_one_seen_is_not_dropped(connection):
    value_of(connection, ENSURE, (NOON,))
    insert = (
        "INSERT INTO orderbook_deltas (exchange_ts, received_at, clock, delta_e2, price_e6, nth, yes_side, after_gap, "
        "ts_missing, ticker, conn, sid, seq) VALUES (%s, now(), 1, 1, 1, 1, TRUE, FALSE, FALSE, 'A', 1, 1, 1) RETURNING ingest_id"
    )
    last = value_of(connection, insert, (NOON,))
    drop = "SELECT drop_chunk('orderbook_deltas', %s, %s)"
    assert value_of(connection, drop, (NOON, last - 1)) is False
    assert value_of(connection, drop, (NOON, last)) is True
    assert chunks_of(connection, "orderbook_deltas") == []


def test_dropping_waits_no_longer_than_it_may(timeseries, connection):
    value_of(connection, ENSURE, (NOON,))
    connection.commit()
    with connected(timeseries) as reader, connected(timeseries) as dropper:
        value_of(reader, "SELECT count(*) FROM orderbook_deltas")
        value_of(dropper, "SELECT set_config('lock_timeout', '50ms', FALSE)")
        with pytest.raises(Exception, match="lock timeout"):
            value_of(dropper, "SELECT drop_chunk('orderbook_deltas', %s, 0)", (NOON,))


def test_a_chunk_is_past_its_age_when_all_of_it_is():
    assert is_past_its_age(chunk(NOON), 7 * HOUR, NOON + 7 * HOUR)
    assert not is_past_its_age(chunk(NOON), 7 * HOUR, NOON + 7 * HOUR - timedelta(microseconds=1))
    assert not is_past_its_age(chunk(NOON), None, NOON + timedelta(days=36_500))


def test_the_oldest_chunk_of_any_table_goes_first_and_none_that_still_fills():
    chunks = [chunk(NOON + HOUR), chunk(NOON, "tickers"), chunk(NOON - HOUR), chunk(NOON)]
    assert oldest_first(chunks, NOON) == [chunks[2], chunks[1], chunks[3]]
