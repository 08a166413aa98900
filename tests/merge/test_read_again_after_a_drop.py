"""What is read again when production has dropped its chunk is merged into the lake as it would have been in production."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values
from pyarrow import parquet

from admin.api.operations import rewind
from app.lake.archive import Archive
from app.lake.late_rows import LateRows
from app.lake.layout import PROCESSED, schema_of
from app.lake.parquet import duckdb_session
from app.lake.storage import FolderStorage
from app.merge.rules import RULES
from app.merge.statements import MergeStatements, apply_rule
from app.postgres.connection import connected
from app.storage.confirmation import lake_has_it
from app.storage.retention import maintain
from tests.gatherers import execute

NOON_US = 1_793_534_400_000_000
NOON = datetime.fromtimestamp(NOON_US / 1e6, UTC)
HOUR_SECONDS = 3_600
LATER = datetime(2026, 12, 1, tzinfo=UTC)
LINEAGE = (1, 1, 1)
COPIES = timedelta(seconds=5)


def moment_us(seconds):
    return NOON_US + round(seconds * 1e6)


def delta(at, clock=1, after_gap=False, ts_missing=False, heard=None):
    heard_us = moment_us(at if heard is None else heard)
    return (moment_us(at), heard_us, clock, 100, 500_000, 0, True, after_gap, ts_missing, "KX", *LINEAGE)


def trade(at, from_rest=False, trade_id="id"):
    return (moment_us(at), moment_us(at), 100, 500_000, True, None, from_rest, "KX", trade_id, *LINEAGE)


def event(at, nth=0):
    return (moment_us(at), moment_us(at), 7, nth, "KX", "created", b"{}", *LINEAGE)


class Platform:
    """Gatherers, production and a lake, of one table."""

    def __init__(self, recordings, production, folder, table_name):
        self.dataset = PROCESSED[table_name]
        self.recordings = recordings(table_name)
        self.production = production
        self.folder = folder
        self.archive = Archive(production, FolderStorage(folder))

    def merge_and_export(self, **rows):
        """Rows by gatherer, one gatherer after the other."""
        for gatherer, of_gatherer in rows.items():
            self.recordings.record(gatherer, of_gatherer)
            self.recordings.catch_up()
        self.export()

    def export(self):
        for _ in range(10):
            self.archive.step(self.dataset, settle_seconds=-(10**9))
            self.archive.make_candles()
        with self.archive.opened() as opened:
            assert opened.ledger.unfinished(self.dataset, -(10**9)) == []
            assert opened.ledger.backlog(self.dataset, -(10**9)) == (0, 0)

    def drop(self, now=LATER):
        """Every chunk that is over by then."""
        with connected(self.production) as connection:
            assert maintain(connection, lake_has_it, 0, now).unconfirmed == 0
        assert execute(self.production, f"SELECT count(*) FROM {self.dataset.table.name}") == [(0,)]

    def read_again(self, *gatherers):
        with connected(self.production) as connection, connection, connection.cursor() as cursor:
            for gatherer in gatherers:
                rewind(cursor, gatherer, self.dataset.table.name, dry_run=False)
        self.recordings.forget()
        self.recordings.catch_up()
        self.export()

    def in_lake(self, columns):
        files = f"{self.folder}/{self.dataset.folder}/*/*/*.parquet"
        query = f"SELECT {columns} FROM read_parquet('{files}', hive_partitioning=false) ORDER BY ALL"
        return duckdb.sql(query).fetchall()


@pytest.fixture
def platform(recordings, production, tmp_path):
    execute(production, "UPDATE chunked_tables SET dropped_through = '-infinity'")
    execute(production, "TRUNCATE export_cursors, lakes")
    return lambda table_name: Platform(recordings, production, tmp_path / "lake", table_name)


SECONDS = f"(epoch_ms(exchange_ts) - {NOON_US // 1_000}) / 1000"


def test_an_announcement_that_three_heard_is_in_the_lake_once(platform):
    made = platform("lifecycle_events")
    made.merge_and_export(a=[event(0)], b=[event(0.3)], c=[event(0.7)])
    made.drop()
    made.read_again("b", "c")
    assert made.in_lake(SECONDS) == [(0,)]


def test_an_announcement_that_was_heard_on_both_sides_of_the_hour_stays_in_the_first(platform):
    made = platform("lifecycle_events")
    made.merge_and_export(a=[event(-0.2)], b=[event(0.3)])
    made.drop()
    made.read_again("b")
    assert made.in_lake(SECONDS) == [(-0.2,)]


def test_an_announcement_that_was_heard_on_both_sides_of_what_was_dropped_stays_in_the_first(platform):
    midnight, made = 12 * HOUR_SECONDS, platform("lifecycle_events")
    made.merge_and_export(a=[event(midnight - 0.2)], b=[event(midnight + 0.3)])
    made.drop(now=NOON + timedelta(days=1))
    made.read_again("b")
    assert made.in_lake(SECONDS) == [(midnight - 0.2,)]


def test_a_change_without_doubt_stays_as_it_is(platform):
    made = platform("orderbook_deltas")
    made.merge_and_export(a=[delta(1)], b=[delta(1, after_gap=True, heard=6)])
    before = made.in_lake("after_gap, epoch_us(received_at)")
    made.drop()
    made.read_again("b")
    assert made.in_lake("after_gap, epoch_us(received_at)") == before == [(False, moment_us(1))]


def test_a_trade_whose_finer_time_comes_late_is_in_the_lake_and_in_candles_once(platform):
    made = platform("trades")
    made.merge_and_export(a=[trade(-1)])
    made.drop()
    made.merge_and_export(b=[trade(0.123, from_rest=True)])
    assert made.in_lake(f"{SECONDS}, from_rest") == [(0.123, False)]
    candles = f"{made.folder}/aggregates/ohlcv/interval=1d/*/*.parquet"
    assert duckdb.sql(f"SELECT volume_e2, trades FROM '{candles}'").fetchall() == [(100, 1)]


def test_a_trade_that_production_withdrew_is_withdrawn_from_the_lake_also_where_production_lost_something(platform):
    made = platform("trades")
    made.merge_and_export(a=[trade(0)])
    execute(
        made.production,
        "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES ('c', 'trades', %s, %s)",
        (NOON - timedelta(hours=2), NOON + timedelta(hours=2)),
    )
    made.merge_and_export(b=[trade(0.123, from_rest=True)])
    assert made.in_lake(SECONDS) == [(0.123,)]


BOOLEANS = st.booleans()
TIMES = st.sampled_from([0, 0.3, 0.6, 1, 40])
ROWS = {
    "orderbook_deltas": st.builds(
        # A change happened at one time, whoever heard it; only who was not told when it was has another.
        lambda clock, missing, gap, at, nth: (
            *(moment_us(at if missing else 50 * abs(clock)), 0, clock, 100, 500_000, nth, True, gap, missing, "KX"),
        ),
        *(st.sampled_from([-1, 1, 2]), BOOLEANS, BOOLEANS, st.sampled_from([40, 51, 90, 171, 300]), st.integers(0, 1)),
    ),
    "trades": st.builds(
        lambda at, block, rest, name: (moment_us(at), 0, 100, 500_000, True, block, rest, "KX", name),
        *(st.sampled_from([0, 0.5, 1, 1.5, 3_000]), st.sampled_from([None, True]), BOOLEANS, st.sampled_from("xy")),
    ),
    "tickers": st.builds(
        lambda digest, missing, at, nth: (
            *(moment_us(at if missing else digest), 0, digest, *[None] * 10, nth, missing, "KX"),
        ),
        *(st.integers(0, 1), BOOLEANS, TIMES, st.integers(0, 1)),
    ),
    "orderbook_snapshots": st.builds(
        lambda milliseconds, digest, full: (
            *(moment_us(milliseconds / 1_000), 0, 1, digest, "KX", "ws"),
            *([[digest]] * 4 if full else [None] * 4),
        ),
        *(st.integers(0, 1), st.integers(1, 3), BOOLEANS),
    ),
    "lifecycle_events": st.builds(
        lambda at, nth: (moment_us(at), 0, 7, nth, "KX", "created", "{}"),
        *(st.sampled_from([0, 0.3, 49, 50, 51, 120]), st.integers(0, 1)),
    ),
}


def with_moments(table, rows):
    times = [number for number, name in enumerate(table.column_names) if name in {table.time_column, "received_at"}]
    return [
        tuple(
            datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value) if number in times else value
            for number, value in enumerate(row)
        )
        for row in rows
    ]


def merged_by_production(connection, rule, batches):
    """All rows after each batch."""
    statements, table = MergeStatements(rule), rule.table
    columns = ", ".join(table.column_names)
    found = []
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table.name}")
        for batch in batches:
            if batch:
                execute_values(cursor, f"INSERT INTO staging ({columns}) VALUES %s", batch)
                cursor.execute("UPDATE staging SET gatherer = %s", (f"gatherer {len(found)}",))
            apply_rule(cursor, rule, statements, is_sifted=False)
            cursor.execute("DELETE FROM staging")
            cursor.execute(f"SELECT {columns} FROM {table.name}")
            found.append(cursor.fetchall())
    return found


def are_apart(announcements):
    told = sorted({(row[0], row[3]) for row in announcements})
    return all(later - earlier > COPIES for (earlier, _), (later, _) in pairwise(told))


def as_in_the_lake(announcements):
    return [(*row[:-1], "{}") for row in announcements]


def merged_by_the_lake(dataset, archived, late):
    schema, names = schema_of(dataset.table), dataset.table.column_names
    archived, late = (
        pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema) for rows in (archived, late)
    )
    with TemporaryDirectory() as name, duckdb_session(Path(name)) as session:
        path = Path(name) / "archived.parquet"
        parquet.write_table(archived, path)
        late_rows = LateRows(session, dataset, NOON)
        late_rows.store([path])
        late_rows.merge(late.to_reader())
        return [tuple(row.values()) for row in session.sql(late_rows.query).to_arrow_table().to_pylist()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.table.name)
def test_the_lake_merges_late_rows_as_production_does(rule, production):
    dataset, rows = PROCESSED[rule.table.name], st.lists(ROWS[rule.table.name], max_size=6)

    def comparable(table_rows):
        """But for received_at, and which of two books of one instant is a microsecond later: that is the order in which
        they come, and here they come at once."""
        received, time = (rule.table.column_names.index(name) for name in ("received_at", rule.table.time_column))
        return sorted(
            repr(
                [
                    value.isoformat(timespec="milliseconds") if number == time else value
                    for number, value in enumerate(row)
                    if number != received
                ]
            )
            for row in table_rows
        )

    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ensure_chunk(%s, %s)", (rule.table.name, NOON))
        connection.commit()
        cursor.execute(
            f"CREATE TEMPORARY TABLE staging AS SELECT 0::BIGINT AS source_ingest_id, "
            f"{', '.join(rule.table.column_names)}, ''::TEXT AS gatherer FROM {rule.table.name} WITH NO DATA"
        )

        def merges_announcements(first, late, archived, fresh, expected):
            """Exactly as production, where no two of a gatherer's are in reach of each other. Else nobody knows any more
            which of them is the new one, but how many there are and when, within seconds."""
            found = merged_by_the_lake(dataset, archived, fresh)
            assert set(comparable(archived)) <= set(comparable(found))
            assert len(set(comparable(found))) == len(found)
            if are_apart(first) and are_apart(late):
                assert comparable(found) == comparable(expected)
            times, expected_times = (sorted(row[0] for row in rows) for rows in (found, expected))
            apart = [abs(one - other) for one, other in zip(times, expected_times, strict=True)]
            assert max(apart, default=timedelta(0)) <= COPIES

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(rows, rows)
        def merges(first, late):
            first, late = with_moments(rule.table, first), with_moments(rule.table, late)
            archived, expected = merged_by_production(connection, rule, [first, late])
            if rule.are_announcements:
                (fresh,) = merged_by_production(connection, rule, [late])
                merges_announcements(*(as_in_the_lake(rows) for rows in (first, late, archived, fresh, expected)))
                return
            assert comparable(merged_by_the_lake(dataset, archived, late)) == comparable(expected)

        merges()
        connection.rollback()
