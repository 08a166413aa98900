import json
import random
import threading

import gevent
import pytest

from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.runtime.threads import threads
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.processes import wait_until
from tests.servers import end_sessions, temporary_server
from tests.storage import rows
from tests.storage.migrated import migrated_database
from tests.storage.reading import rows_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


@pytest.fixture
def writer(timeseries):
    made = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    yield made
    made.close()


def deltas(count, first_clock=1):
    return [rows.delta(clock=first_clock + number) for number in range(count)]


def quarantined(connection):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, reason, convert_from(payload, 'UTF8') FROM quarantine ORDER BY quarantine_id"
        )
        return [(table, reason, read(payload)) for table, reason, payload in cursor.fetchall()]


def read(payload):
    """A row by its columns' names; as it was written in Python where JSON has no way to say it."""
    return json.loads(payload) if payload.startswith("{") else payload


def test_rows_are_there_when_write_returns(writer, connection):
    written = deltas(3)
    assert writer.write(written) == (3, 0, 0)
    assert rows_of(connection, ORDERBOOK_DELTAS) == written


def test_no_rows_are_no_work(writer):
    assert writer.write([]) == (0, 0, 0)


def test_rows_that_are_there_already_are_counted_and_left_alone(writer, connection):
    writer.write(deltas(10))
    changed_lineage = [(*row[:-3], 9, 9, 9) for row in deltas(20)]
    assert writer.write(changed_lineage) == (10, 10, 0)
    assert rows_of(connection, ORDERBOOK_DELTAS) == deltas(10) + changed_lineage[10:]


def test_a_row_twice_in_one_batch_is_one_row(writer, connection):
    assert writer.write([*deltas(5), *deltas(5)]) == (5, 5, 0)
    assert rows_of(connection, ORDERBOOK_DELTAS) == deltas(5)


def test_after_a_conflict_batches_of_new_rows_are_written_all_the_same(writer, connection):
    writer.write(deltas(10))
    writer.write(deltas(10))
    for start in range(11, 1_011, 10):
        assert writer.write(deltas(10, start)) == (10, 0, 0)
    assert value_of(connection, "SELECT count(*) FROM orderbook_deltas") == 1_010


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("price_e6", 1_000_001, "orderbook_deltas_price_e6_check"),
        ("price_e6", 2**40, "does not fit its column"),
        ("ticker", "nul\0", "0x00"),
        ("ticker", "half a character \ud800", "does not fit its column"),
        ("ticker", None, "does not fit its column"),
        ("exchange_ts", 2**62, "no partition"),
        ("ticker", "".join(map(chr, range(48, 8_000))), "index row"),
    ],
)
@pytest.mark.parametrize("known_rows", [0, 7], ids=["new rows", "some known"])
def test_a_bad_row_is_quarantined_and_the_rest_of_its_batch_stays(
    writer, connection, column, value, reason, known_rows
):
    batch = deltas(100)
    writer.write(batch[:known_rows])
    position = ORDERBOOK_DELTAS.column_names.index(column)
    bad = (*rows.delta(clock=500)[:position], value, *rows.delta(clock=500)[position + 1 :])
    assert writer.write([*batch[:40], bad, *batch[40:]]) == (100 - known_rows, known_rows, 1)
    assert sorted(rows_of(connection, ORDERBOOK_DELTAS)) == batch
    ((table, told, payload),) = quarantined(connection)
    assert table == "orderbook_deltas"
    assert reason in told
    if isinstance(payload, dict):
        assert payload["clock"] == 500
        assert payload[column] == value
    else:
        assert "half a character" in payload


def test_a_row_with_too_few_values_is_quarantined(writer, connection):
    assert writer.write([*deltas(3), rows.delta()[:5]]) == (3, 0, 1)
    ((_, reason, payload),) = quarantined(connection)
    assert "not enough values" in reason
    assert payload.startswith("(")


def test_many_bad_rows_are_each_quarantined(writer, connection):
    chance = random.Random(1)
    batch = [rows.delta(clock=clock, price_e6=chance.choice([500_000, 2_000_000])) for clock in range(200)]
    bad = [row for row in batch if row[4] == 2_000_000]
    assert writer.write(batch) == (200 - len(bad), 0, len(bad))
    assert [payload["clock"] for _, _, payload in quarantined(connection)] == [row[2] for row in bad]


@pytest.mark.parametrize("days", [-9_000, -400, -1, 1, 400, 20_000])
def test_rows_outside_of_every_chunk_find_room(writer, connection, days):
    batch = [rows.delta(), rows.delta(at_us=rows.NOON_US + days * DAY_US)]
    assert writer.write(batch) == (2, 0, 0)
    assert rows_of(connection, ORDERBOOK_DELTAS) == batch


def test_a_batch_spread_over_many_hours_finds_room(writer, connection):
    batch = [rows.delta(at_us=rows.NOON_US + hours * 3_600_000_000) for hours in range(-30, 30)]
    assert writer.write(batch) == (60, 0, 0)
    assert rows_of(connection, ORDERBOOK_DELTAS) == batch


def test_a_back_fill_over_very_many_hours_takes_several_transactions(writer, connection):
    batch = [rows.delta(at_us=rows.NOON_US + hours * 7 * HOUR_US) for hours in range(250)]
    random.Random(1).shuffle(batch)
    assert writer.write([*batch, rows.delta(clock=9, price_e6=2_000_000)]) == (250, 0, 1)
    assert sorted(rows_of(connection, ORDERBOOK_DELTAS)) == sorted(batch)
    assert value_of(connection, "SELECT count(DISTINCT xmin::TEXT) FROM orderbook_deltas") > 2


def test_a_new_chunk_and_a_row_that_is_there_already_come_in_one_batch(writer, connection):
    writer.write(deltas(5))
    batch = [*deltas(10), rows.delta(at_us=rows.NOON_US + 5 * DAY_US)]
    assert writer.write(batch) == (6, 5, 0)


def test_a_writer_in_a_thread_returns_the_same(timeseries):
    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries, threads(1))
    assert writer.write(deltas(10)) == (10, 0, 0)
    writer.close()


def test_a_batch_whose_caller_was_ended_is_not_mixed_with_the_next(timeseries):
    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries, threads(2))
    with connected(timeseries) as other:
        value_of(other, "SELECT pg_advisory_xact_lock(hashtextextended('writing orderbook_deltas', 0))")
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
            writer.write(deltas(5))
        with pytest.raises(DatabaseError, match="still being written"):
            writer.write(deltas(10))
        other.commit()
    wait_until(lambda: not writer._is_writing)
    assert writer.write(deltas(10)) == (5, 5, 0)
    writer.close()


WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'writer orderbook_deltas' AND datname = current_database() AND wait_event = 'advisory'
"""


def test_a_writer_waits_for_whoever_writes_to_its_table_since_readers_go_by_the_order_of_commits(
    timeseries, connection, writer
):
    with connected(timeseries) as other:
        value_of(other, "SELECT pg_advisory_xact_lock(hashtextextended('writing orderbook_deltas', 0))")
        writing = threading.Thread(target=writer.write, args=(deltas(5),))
        writing.start()
        connection.autocommit = True
        wait_until(lambda: value_of(connection, WAITING) == 1, what="a writer that waits")
        assert rows_of(connection, ORDERBOOK_DELTAS) == []
        other.commit()
    writing.join()
    assert rows_of(connection, ORDERBOOK_DELTAS) == deltas(5)


def test_a_lost_connection_is_an_error_and_the_same_batch_may_be_written_again(writer, timeseries):
    writer.write(deltas(5))
    assert end_sessions(timeseries, "writer") == 1
    with pytest.raises(DatabaseError, match="Writing to orderbook_deltas failed"):
        writer.write(deltas(10))
    assert writer.write(deltas(10)) == (5, 5, 0)


def test_a_database_killed_between_two_batches_keeps_the_first():
    with temporary_server() as server:
        dsn = migrated_database(server)
        writer = CopyWriter(ORDERBOOK_DELTAS, dsn)
        writer.write(deltas(5))
        server.kill()
        with pytest.raises(DatabaseError):
            writer.write(deltas(10))
        server.start()
        assert writer.write(deltas(10)) == (5, 5, 0)
        writer.close()


POISON = """
    CREATE FUNCTION poison() RETURNS TRIGGER LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.ticker = 'POISON' THEN
            RAISE EXCEPTION 'nobody thought of this';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER poison BEFORE INSERT ON orderbook_deltas FOR EACH ROW EXECUTE FUNCTION poison();
"""


@pytest.fixture
def poisonous(connection):
    """A table that fails with an error of a kind that is no row's own, but of a row all the same."""
    with connection, connection.cursor() as cursor:
        cursor.execute(POISON)


@pytest.mark.usefixtures("poisonous")
def test_a_row_that_fails_in_a_way_nobody_thought_of_does_not_hold_up_the_others(writer, connection):
    batch = deltas(100)
    poison = rows.delta(ticker="POISON")
    assert writer.write([*batch[:30], poison, *batch[30:60], poison, *batch[60:]]) == (100, 0, 2)
    assert rows_of(connection, ORDERBOOK_DELTAS) == batch
    assert "nobody thought of this" in quarantined(connection)[0][1]


@pytest.mark.usefixtures("poisonous")
def test_an_error_that_all_rows_meet_is_the_database_s_own(writer, connection):
    refused = []
    writer._on_refused = refused.extend
    with pytest.raises(DatabaseError, match="nobody thought of this"):
        writer.write([rows.delta(ticker="POISON", clock=clock) for clock in range(3)])
    assert (quarantined(connection), refused) == ([], [])
    assert writer.write([rows.delta(ticker="POISON"), rows.delta()]) == (1, 0, 1)


def test_who_counts_on_rows_hears_of_refused_ones_before_they_are_gone(timeseries, connection):
    heard = []

    def on_refused(refused):
        heard.append((refused, value_of(connection, "SELECT count(*) FROM orderbook_deltas")))
        connection.rollback()
        if len(heard) == 1:
            raise DatabaseError("the disk is full")

    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries, on_refused=on_refused)
    bad = rows.delta(price_e6=-1)
    with pytest.raises(DatabaseError, match="the disk is full"):
        writer.write([rows.delta(), bad])
    assert (rows_of(connection, ORDERBOOK_DELTAS), quarantined(connection)) == ([], [])
    connection.rollback()
    assert writer.write([rows.delta(), bad]) == (1, 0, 1)
    assert heard == [([bad], 0)] * 2
    writer.close()
