"""The book at a time over restarts of clocks, outages of a second and of hours, late snapshots and changes without a
time: what the exchange had, in Python, SQL and the lake alike."""

import tempfile
from collections import defaultdict
from datetime import timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from app.lake.layout import PROCESSED, schema_of
from app.lake.reader import book_at, lake_of
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_SNAPSHOTS
from app.storage.writer import CopyWriter
from kalshi_data.layout import hour_of
from kalshi_data.order_book import BookChange, BookSnapshot, Knowledge, recorded_book
from tests.storage.decisive_books import CASES
from tests.storage.market_histories import histories, histories_whose_clocks_stop
from tests.storage.reading import EPOCH
from tests.storage.rows import NOON_US

NOON = EPOCH + timedelta(microseconds=NOON_US)
LAST_OF_MILLISECOND = timedelta(microseconds=999)
MANY = settings(deadline=None, suppress_health_check=list(HealthCheck))
NAMES = count(1)
SQL = """
    SELECT book.based_on, book.changes, book.yes_sides, book.prices_e6, book.sizes_e2
    FROM unnest(%s) WITH ORDINALITY AS asked (at, number) CROSS JOIN LATERAL recorded_book(%s, asked.at) AS book
    ORDER BY asked.number
"""


def moment(milliseconds):
    return NOON + timedelta(milliseconds=milliseconds)


class Recorded:
    """What is recorded of a market."""

    def __init__(self, snapshots, changes):
        self.snapshots = snapshots
        self.all_changes = changes

    @classmethod
    def of(cls, case):
        return cls(
            [
                BookSnapshot(moment(stamp), moment(received), clock, "ws", levels_of(levels))
                for stamp, received, clock, levels in case.snapshots
            ],
            [BookChange(moment(stamp), moment(received), *rest) for stamp, received, *rest in case.changes],
        )

    def last_snapshot(self, until):
        return max((snapshot for snapshot in self.snapshots if snapshot.snapshot_ts <= until), default=None)

    def changes(self, after, until):
        return [change for change in self.all_changes if after < change.exchange_ts <= until]


def levels_of(levels):
    return {(yes_side, price): size for yes_side, price, size in levels}


class InMemory(Recorded):
    def __init__(self, history):
        # No two snapshots of production have the same stamp.
        self.snapshots = [
            BookSnapshot(moment(t.stamp) + timedelta(microseconds=n), moment(t.received), t.clock, "ws", t.levels)
            for n, t in enumerate(history.taken)
        ]
        self.all_changes = [
            BookChange(moment(stamp), moment(received), e.clock, e.ts_missing, e.yes_side, e.price_e6, e.delta_e2)
            for e, stamp, received in history.heard.values()
        ]


@settings(MANY, max_examples=150)
@given(histories() | histories_whose_clocks_stop())
def test_it_is_what_the_exchange_had(history):
    record = InMemory(history)
    for at in history.moments():
        truth = history.book(at)
        if truth is not None:
            found = recorded_book(record, moment(at) + LAST_OF_MILLISECOND)
            assert found is not None
            assert found.levels == truth


def test_histories_that_decide_between_rules_have_the_book_that_the_exchange_had(production):
    rows = defaultdict(list)
    for number, case in enumerate(CASES):
        record = Recorded.of(case)
        found = recorded_book(record, moment(case.at) + LAST_OF_MILLISECOND)
        assert found is not None
        assert found.levels == levels_of(case.book), case
        for table, written in rows_of(record, f"KXCASE-{number}").items():
            rows[table] += written
    store(production, rows)
    for number, case in enumerate(CASES):
        ((_, _, levels),) = ask_sql(production, f"KXCASE-{number}", [moment(case.at) + LAST_OF_MILLISECOND])
        assert levels == levels_of(case.book), case


@settings(MANY, max_examples=30)
@given(histories() | histories_whose_clocks_stop())
def test_it_is_the_same_in_python_sql_and_the_lake(production, history):
    record, ticker = InMemory(history), f"KXTEST-{next(NAMES)}"
    rows = rows_of(record, ticker)
    moments = [moment(at) + LAST_OF_MILLISECOND for at in history.moments()]
    expected = [found and found[:1] + found[2:] for found in (recorded_book(record, at) for at in moments)]
    assert in_sql(production, rows, ticker, moments) == [found for found in expected if found]
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_with(Path(folder), rows)
        for at, found in list(zip(moments, expected, strict=True))[::3]:
            if found and record.all_changes:
                book = book_at(lake, ticker, at, Knowledge("complete", at))
                assert (book.based_on, book.changes, book.levels) == found


MILLISECONDS = st.sampled_from([0, 1, 500, 1_000, 1_600, 2_700, 58_000, 60_000, 61_000, 63_000, 130_000])
DELAYS = st.sampled_from([0, 20, 900, 5_000, 70_000])
LEVEL_NUMBERS = st.integers(1, 3).map(lambda number: number * 100_000)
ANY_CHANGES = st.lists(
    st.builds(
        lambda at, delay, *rest: BookChange(moment(at), moment(at + delay), *rest, delta_e2=100),
        *(MILLISECONDS, DELAYS, st.integers(-1, 6), st.booleans(), st.booleans(), LEVEL_NUMBERS),
    ),
    min_size=1,
    max_size=8,
)
ANY_SNAPSHOTS = st.lists(
    st.builds(
        lambda at, delay, clock, source, price: BookSnapshot(
            moment(at) + timedelta(microseconds=7),
            moment(at + delay),
            clock if source == "ws" else -1,
            source,
            {(True, price): 100},
        ),
        *(MILLISECONDS, DELAYS, st.integers(-1, 6), st.sampled_from(["ws", "ws", "rest"]), LEVEL_NUMBERS),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda snapshot: snapshot.snapshot_ts,
)


class Any(Recorded):
    """Rows that no exchange would have told in this way; some without a clock."""

    def last_snapshot(self, until):
        before = [snapshot for snapshot in self.snapshots if snapshot.snapshot_ts <= until]
        return max(before, key=lambda snapshot: (snapshot.is_of_stream, snapshot.snapshot_ts), default=None)


@settings(MANY, max_examples=20)
@given(ANY_SNAPSHOTS, ANY_CHANGES)
def test_of_whatever_rows_it_is_the_same_in_python_sql_and_the_lake(production, snapshots, changes):
    record, ticker = Any(snapshots, changes), f"KXANY-{next(NAMES)}"
    rows = rows_of(record, ticker)
    moments = [moment(at) + LAST_OF_MILLISECOND for at in (0, 1_600, 61_000, 200_000)]
    expected = [found and found[:1] + found[2:] for found in (recorded_book(record, at) for at in moments)]
    assert in_sql(production, rows, ticker, moments) == [found for found in expected if found]
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_with(Path(folder), rows)
        for at, found in zip(moments, expected, strict=True):
            if found:
                book = book_at(lake, ticker, at, Knowledge("complete", at))
                assert (book.based_on, book.changes, book.levels) == found


def test_a_book_that_is_asked_for_again_and_again_takes_a_look_at_each_change_once(production):
    """From the sixth time on a session plans without the values, and expects few changes."""
    changes = [BookChange(moment(at), moment(at), at, False, True, 500_000, 100) for at in range(1, 50)]
    store(production, rows_of(Recorded([], changes), "KXBUSY"))
    since = "PREPARE since AS SELECT * FROM changes_since('KXBUSY', $1, $1, $2, $3)"
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute(since)
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE since (%s, 10, %s)", (moment(10), moment(100)))
        ((((plan,)),),) = cursor.fetchall()
    steps = list(steps_of(plan["Plan"]))
    assert steps[0]["Actual Rows"] == len(changes) - 10
    assert max(step["Actual Loops"] for step in steps) == 1


def steps_of(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps_of(below)


def rows_of(record, ticker):
    deltas = [
        (
            us(c.exchange_ts),
            us(c.received_at),
            c.clock,
            c.delta_e2,
            c.price_e6,
            nth,
            c.yes_side,
            False,
            c.ts_missing,
            ticker,
        )
        for nth, c in enumerate(record.all_changes)
    ]
    snapshots = [
        (us(s.snapshot_ts), us(s.received_at), s.clock, 0, ticker, s.source, *side(s, True), *side(s, False))
        for s in record.snapshots
    ]
    return {PRODUCTION_ORDERBOOK_DELTAS: deltas, PRODUCTION_ORDERBOOK_SNAPSHOTS: snapshots}


def us(time):
    return (time - EPOCH) // timedelta(microseconds=1)


def side(snapshot, yes_side):
    levels = sorted((price, size) for (side, price), size in snapshot.levels.items() if side is yes_side)
    return [price for price, _ in levels], [size for _, size in levels]


def in_sql(production, rows, ticker, moments):
    store(production, rows)
    return ask_sql(production, ticker, moments)


def store(production, rows):
    for table, written in rows.items():
        writer = CopyWriter(table, production)
        writer.write(written)
        writer.close()


def ask_sql(production, ticker, moments):
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute(SQL, (moments, ticker))
        return [
            (based_on, changes, {(s, p): n for s, p, n in zip(*(c or [] for c in columns), strict=True) if n > 0})
            for based_on, changes, *columns in cursor
        ]


def lake_with(folder, rows):
    for table, written in rows.items():
        hours = defaultdict(list)
        for row in written:
            values = dict(zip(table.column_names, row, strict=True))
            hours[hour_of(EPOCH + timedelta(microseconds=row[0]))].append(values)
        for hour, values in hours.items():
            dataset = PROCESSED[table.name]
            path = folder / dataset.object_key(hour)
            path.parent.mkdir(parents=True)
            parquet.write_table(pa.Table.from_pylist(values, schema_of(table)), path)
    return lake_of(FolderStorage(folder))
