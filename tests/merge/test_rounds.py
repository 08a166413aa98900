"""What a round of merging does, and what is left of it when something goes wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.merge.recordings import rule_of
from tests.servers import end_sessions
from tests.storage import rows
from tests.storage.reading import rows_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def deltas(*clocks, **facts):
    return [rows.delta(clock=clock, **facts) for clock in clocks]


def untimed(row, seconds_later):
    """The same change as a gatherer has it that was not told when it happened."""
    return (row[0] + seconds_later * 1_000_000, *row[1:8], True, *row[9:])


def in_doubt(row):
    return (*row[:7], True, *row[8:])


@pytest.fixture
def merged(production):
    """Production's changes without their lineage, in order of their clocks."""

    def read():
        with connected(production) as connection:
            return sorted(rows_of(connection, PRODUCTION_ORDERBOOK_DELTAS), key=lambda row: row[2])

    return read


@pytest.fixture
def asked(production):
    def ask(query):
        with connected(production) as connection:
            return value_of(connection, query)

    return ask


def bare(deltas):
    return [row[:10] for row in deltas]


def test_each_event_is_there_once_whoever_recorded_it(recordings, merged):
    recording = recordings("orderbook_deltas")
    recording.record("a", deltas(1, 2, 4))
    recording.record("b", deltas(2, 3))
    recording.record("c", deltas(1, 2, 3))
    assert recording.round() == (8, 4, 0)
    assert merged() == bare(deltas(1, 2, 3, 4))
    assert recording.round() == (0, 0, 0)


def test_rows_are_read_on_in_batches(recordings, merged):
    recording = recordings("orderbook_deltas", batch_bytes=1)
    recording.record("a", deltas(*range(250)))
    assert [recording.round("a").read for _ in range(4)] == [101, 100, 49, 0]
    assert len(merged()) == 250


def test_an_event_of_any_date_finds_room(recordings, merged):
    recording = recordings("orderbook_deltas")
    written = [rows.delta(clock=day, at_us=rows.NOON_US + day * DAY_US) for day in (-9_000, -400, 0, 1, 4_000)]
    written.sort(key=lambda row: row[2])
    recording.record("a", written)
    assert recording.round() == (5, 5, 0)
    assert merged() == bare(written)


def test_what_nobody_heard_in_good_order_stays_in_doubt_until_somebody_did(recordings, merged, asked):
    recording = recordings("orderbook_deltas")
    (clean,) = deltas(1)
    recording.record("a", [in_doubt(clean)])
    recording.round()
    assert merged() == bare([in_doubt(clean)])
    seen_by_a_reader = asked("SELECT max(ingest_id) FROM orderbook_deltas")
    recording.record("b", [clean])
    assert recording.round() == (1, 0, 0)
    assert merged() == bare([clean])
    assert asked("SELECT max(ingest_id) FROM orderbook_deltas") > seen_by_a_reader


def test_a_clock_that_starts_anew_makes_other_events(recordings, merged):
    recording = recordings("orderbook_deltas")
    (before,), (after,) = deltas(1), deltas(1, at_us=rows.NOON_US + 2 * HOUR_US)
    recording.record("a", [before, untimed(after, seconds_later=3)])
    recording.record("b", [after])
    recording.round()
    assert merged() == bare([before, after])


def test_the_lake_writes_an_hour_anew_whose_row_moved_out_of_it(recordings, production):
    recording = recordings("orderbook_deltas")
    (timed,) = deltas(1, at_us=rows.NOON_US - 1_000)
    recording.record("a", [untimed(timed, seconds_later=1)])
    recording.round()
    with connected(production) as connection, connection.cursor() as cursor:
        for hour in (11, 12, 13):
            cursor.execute(
                "INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, verified_at) "
                "VALUES ('orderbook_deltas', %s, 9, 1, '', now())",
                (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour),),
            )
        connection.commit()
        recording.record("b", [timed])
        assert recording.round() == (1, 0, 0)
        cursor.execute("SELECT through_ingest_id FROM exports WHERE verified_at IS NULL")
        assert cursor.fetchall() == [(0,)]
        cursor.execute("SELECT extract(hour FROM hour) FROM exports WHERE verified_at IS NULL")
        assert cursor.fetchall() == [(12,)]


def test_a_late_copy_without_a_time_changes_nothing(recordings, merged):
    recording = recordings("orderbook_deltas")
    (timed,) = deltas(1)
    recording.record("a", [timed])
    recording.round()
    recording.record("b", [untimed(timed, seconds_later=1)])
    recording.record("c", [untimed(timed, seconds_later=2)])
    assert recording.round() == (2, 0, 0)
    assert merged() == bare([timed])


@pytest.mark.parametrize("known", [0, 3])
def test_a_row_that_production_refuses_is_quarantined_and_the_rest_is_merged(
    damaged, recordings, production, merged, known
):
    recording = recordings("orderbook_deltas")
    recording.record("b", deltas(*range(known)))
    recording.round()
    with connected(damaged) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orderbook_deltas DROP CONSTRAINT orderbook_deltas_price_e6_check")
        cursor.execute("ALTER TABLE orderbook_deltas ALTER received_at DROP NOT NULL")
        connection.commit()
    recording.record("a", [*deltas(*range(10)), rows.delta(clock=50, price_e6=2_000_000), *deltas(10)])
    with connected(damaged) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE orderbook_deltas SET received_at = NULL WHERE clock IN (4, 10)")
        connection.commit()
    assert recording.round().quarantined == 3
    assert [row[2] for row in merged()] == [*range(4), *range(5, 10)]
    assert recording.round() == (0, 0, 0)
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT reason, convert_from(payload, 'UTF8')::JSON ->> 'clock' FROM quarantine ORDER BY 2")
        missing = "received_at is missing"
        assert cursor.fetchall() == [(missing, "10"), (missing, "4"), ("orderbook_deltas_price_e6_check", "50")]
        cursor.execute(
            "SELECT gatherer, table_name, ticker, %s BETWEEN started_at AND ended_at, count(*) FROM gatherer_refusals"
            " JOIN quarantine USING (quarantine_id, table_name) GROUP BY 1, 2, 3, 4",
            (datetime.fromtimestamp(rows.NOON_US / 1_000_000, UTC),),
        )
        assert cursor.fetchall() == [("a", "orderbook_deltas", "KXTEST-1", True, 3)]


def test_a_row_that_cannot_be_read_as_its_columns_types_is_quarantined_alone(damaged, recordings, merged, asked):
    recording = recordings("orderbook_deltas")
    recording.record("a", deltas(*range(10)))
    with connected(damaged) as connection, connection.cursor() as cursor:
        # As a damaged database would have it: the same bytes on the wire, but no text.
        cursor.execute("DROP VIEW readable.orderbook_deltas")
        cursor.execute("ALTER TABLE orderbook_deltas ALTER ticker TYPE BYTEA USING convert_to(ticker, 'UTF8')")
        cursor.execute(r"UPDATE orderbook_deltas SET ticker = '\xff' WHERE clock = 7")
        connection.commit()
    assert recording.round() == (10, 9, 1)
    assert [row[2] for row in merged()] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert "invalid byte sequence" in asked("SELECT reason FROM quarantine")
    # Whose it was cannot be read, so it may be any market's.
    assert asked("SELECT gatherer || ' ' || ticker || '.' FROM gatherer_refusals") == "a ."


def test_rows_are_merged_in_the_order_that_a_reader_of_production_relies_on(recordings, production):
    recording = recordings("orderbook_deltas")
    recording.record("a", deltas(1))
    recording.round()
    recording.record("a", deltas(2))
    with connected(production) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(hashtextextended('writing orderbook_deltas', 0))")
        with connected(production) as impatient, impatient.cursor() as other:
            other.execute("SELECT pg_try_advisory_lock(hashtextextended('writing orderbook_deltas', 0))")
            assert other.fetchone() == (False,)
        with recording.merger._kept.still_open() as session, session, session.cursor() as own:
            own.execute("SET lock_timeout = '50ms'")
        with pytest.raises(DatabaseError, match="lock timeout"):
            recording.round()


def test_statistics_say_what_was_read_and_what_was_new(recordings, production):
    recording = recordings("orderbook_deltas")
    for clocks in ((1, 2), (3,)):
        for name in "ab":
            recording.record(name, deltas(*clocks))
        recording.round()
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name, shard, rounds, rows_read, rows_new, rows_quarantined FROM merge_statistics")
        assert cursor.fetchall() == [("orderbook_deltas", 0, 2, 6, 3, 0)]
        cursor.execute(
            "SELECT gatherer, rows_read, extract(epoch FROM received_through)::BIGINT FROM sync_cursors ORDER BY 1"
        )
        received = (rows.NOON_US + 20_000) // 1_000_000
        assert cursor.fetchall() == [("a", 3, received), ("b", 3, received), ("c", 0, None)]


def test_the_failure_of_a_gatherer_is_told_and_forgotten(recordings, asked):
    recording = recordings("orderbook_deltas")
    recording.round()
    recording.merger.note_failures({"a": "no route to host"})
    assert asked("SELECT failure FROM sync_cursors WHERE failing_since IS NOT NULL") == "no route to host"
    recording.merger.note_failures({"a": None})
    assert asked("SELECT count(*) FROM sync_cursors WHERE failing_since IS NULL AND failure IS NULL") == 3


def test_a_gatherer_without_the_schema_says_what_to_run(damaged, recordings):
    recording = recordings("trades")
    with connected(damaged) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE trades CASCADE")
        connection.commit()
    with pytest.raises(DatabaseError, match="kalshi-data migrate"):
        recording.round("a")
    assert recording.round("b", "c") == (0, 0, 0)


def test_a_plan_reads_no_chunk_that_cannot_matter(recordings, production):
    """Years of chunks would cost more than the rows."""
    recording = recordings("orderbook_deltas")
    with connected(production) as connection:
        value_of(connection, "SELECT ensure_chunks('orderbook_deltas', '2020-01-01', '2020-03-01')")
        connection.commit()
        recording.round()
        statements = recording.merger._statements
        span = {"first": "2026-11-01 11:00+00", "last": "2026-11-01 13:00+00"}
        with connection.cursor() as cursor:
            cursor.execute(statements.create_staging)
            for statement in (
                statements.take_best_times,
                statements.withdraw.everywhere,
                statements.improve.everywhere,
                statements.are_marked,
            ):
                cursor.execute(b"EXPLAIN " + cursor.mogrify(statement, span))
                assert "orderbook_deltas_2020" not in str(cursor.fetchall())


def test_every_record_table_has_a_rule():
    for table in ("orderbook_deltas", "trades", "tickers", "orderbook_snapshots", "lifecycle_events"):
        assert rule_of(table).table.name == table


def test_a_rule_s_key_is_its_table_s(production):
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("""
            SELECT c.relname, array_agg(a.attname ORDER BY k.position)
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
            CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, position)
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
            WHERE i.indisprimary AND c.relkind IN ('r', 'p') GROUP BY 1
        """)
        keys = dict(cursor.fetchall())
    for name in ("orderbook_deltas", "trades", "tickers", "orderbook_snapshots", "lifecycle_events"):
        assert list(rule_of(name).key) == keys[name]


def test_a_lost_connection_to_production_is_an_error_and_the_round_can_be_repeated(recordings, production, merged):
    recording = recordings("orderbook_deltas")
    recording.record("a", deltas(1, 2))
    recording.round("b")
    assert end_sessions(production, "merger") >= 1
    with pytest.raises(DatabaseError, match="Merging orderbook_deltas failed"):
        recording.round()
    recording.forget()
    assert recording.round() == (2, 2, 0)
    assert merged() == bare(deltas(1, 2))


def untimed_change(seconds):
    return untimed(rows.delta(clock=7), seconds)


def trade(seconds):
    """Another copy's time is a later one."""
    at_us = rows.NOON_US + 1_000 + int(seconds * 1_000_000)
    return (at_us, at_us, 100, 500_000, True, False, False, "KXTEST-1", "one trade", 3, 1, 1)


def quote(seconds):
    at_us = rows.NOON_US + int(seconds * 1_000_000)
    return (at_us, at_us, 5, *[None] * 10, 0, True, "KXTEST-1", 1, 1)


@pytest.mark.parametrize("copies_first", [True, False], ids=["in one round", "one after the other"])
@pytest.mark.parametrize(
    ("table", "copy", "seconds", "count"),
    [
        ("orderbook_deltas", untimed_change, 13, 1),
        ("orderbook_deltas", untimed_change, 119, 1),
        ("orderbook_deltas", untimed_change, 121, 2),
        ("orderbook_deltas", untimed_change, 1_100, 2),
        ("trades", trade, 59, 1),
        ("trades", trade, 59 * 60, 1),
        ("trades", trade, 61 * 60, 2),
        ("trades", trade, 5 * 3_600, 2),
        ("tickers", quote, 0.95, 1),
        ("tickers", quote, 1.05, 2),
        ("tickers", quote, 9, 2),
    ],
)
def test_copies_are_one_event_as_far_apart_as_the_rule_says_and_no_farther(
    recordings, asked, table, copy, seconds, count, copies_first
):
    recording = recordings(table)
    recording.record("a", [copy(0)])
    if not copies_first:
        recording.round()
    recording.record("b", [copy(seconds)])
    recording.round()
    assert asked(f"SELECT count(*) FROM {table}") == count
