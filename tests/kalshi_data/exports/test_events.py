"""The events of an export, put together again: at every moment the book is the one that the library has."""

import tempfile
from itertools import count, groupby
from pathlib import Path

from hypothesis import HealthCheck, given, settings

import kalshi_data as kd
from kalshi_data.exports.events import MarketEvents
from kalshi_data.exports.rows import RowKind
from kalshi_data.order_book import recorded_book
from kalshi_data.times import us_of
from tests.kalshi_data.conftest import HOLE
from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, judged, snapshot, trade, write
from tests.storage.market_histories import histories, histories_whose_clocks_stop
from tests.storage.test_book_at_a_time import ANY_CHANGES, ANY_SNAPSHOTS, Any, InMemory, lake_with, rows_of

NAMES = count(1)
MANY = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
BOOK_KINDS = {RowKind.SNAPSHOT, RowKind.CHANGE, RowKind.REMOVED}


def rows_between(lake, ticker, start, end):
    holes = lake.coverage(ticker, start, end).holes
    return [
        row for _, table in MarketEvents(lake.files, ticker, holes, (start, end)).hours() for row in table.to_pylist()
    ]


def books_of(rows):
    """The book after each moment of the rows, as (is_bid, price of YES) to size."""
    book, books = {}, {}
    for row in rows:
        if row["kind"] == RowKind.CLEAR:
            book = {}
        elif row["kind"] in BOOK_KINDS:
            book[row["is_bid"], row["price_e6"]] = row["size_e2"]
        books[row["at_us"]] = {level: size for level, size in book.items() if size}
    return books


def yes_book(levels):
    return {(yes, price if yes else 1_000_000 - price): size for (yes, price), size in levels.items() if size > 0}


def brief(rows):
    """RowKind and time of each row, whatever the number of levels."""
    return [
        (RowKind(kind).name, us - us_of(NOON)) for (kind, us), _ in groupby((row["kind"], row["at_us"]) for row in rows)
    ]


def test_no_bids_are_asks_of_yes(lake):
    first = [
        row for row in rows_between(lake, TICKER, at(0), at(4)) if row["kind"] in {RowKind.SNAPSHOT, RowKind.CHANGE}
    ]
    values = [(row["is_bid"], row["price_e6"], row["size_e2"], row["before_e2"]) for row in first]
    assert values == [
        (True, 400_000, 500, 0),
        (False, 450_000, 700, 0),
        (True, 400_000, 600, 500),
        (False, 450_000, 0, 700),
    ]


def test_a_hole_clears_the_book_and_its_end_writes_it_anew(lake):
    rows = rows_between(lake, TICKER, at(3.6), at(12))
    assert brief(rows)[3:] == [
        ("CLEAR", 10_250_000),
        ("REMOVED", 10_250_000),
        ("CLEAR", 10_750_000),
        ("SNAPSHOT", 10_750_000),
    ]
    assert books_of(rows)[us_of(HOLE[1])] == {(True, 410_000): 100}


def test_a_period_begins_with_the_whole_book(lake):
    rows = rows_between(lake, TICKER, at(3.6), at(10))
    assert brief(rows) == [("CLEAR", 3_600_000), ("REMOVED", 3_600_000), ("SNAPSHOT", 3_600_000)]


def test_a_trade_comes_before_the_changes_of_its_moment(tmp_path):
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 10, [(400_000, 500)])], "snapshot_ts")
    write(tmp_path, "orderbook_deltas", [change(1, 11), change(2, 12, delta_e2=-100)], "exchange_ts")
    write(tmp_path, "trades", [trade(2), trade(3) | {"is_block_trade": True}], "exchange_ts")
    kinds = [RowKind(row["kind"]).name for row in rows_between(kd.open(tmp_path), TICKER, at(0), at(9))]
    assert kinds[-4:] == ["CHANGE", "TRADE", "CHANGE", "BLOCK_TRADE"]


def test_who_listens_has_no_event_before_it_happened_nor_two_at_once(tmp_path):
    late = change(1, 11) | {"received_at": at(5)}
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 10, [(400_000, 500)])], "snapshot_ts")
    write(tmp_path, "orderbook_deltas", [late, change(2, 12) | {"received_at": at(1)}], "exchange_ts")
    fetched = trade(1.5) | {"received_at": at(900), "from_rest": True}
    write(tmp_path, "trades", [fetched], "exchange_ts")
    rows = rows_between(kd.open(tmp_path), TICKER, at(0), at(9))
    assert [row["local_us"] for row in rows[-3:]] == [us_of(at(5))] * 3
    assert all(row["local_us"] >= row["at_us"] for row in rows)
    ns = [row["local_ns"] for row in rows]
    assert sorted(set(ns)) == ns


def test_the_whole_book_is_repeated_at_midnight(tmp_path):
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 10, [(400_000, 500)])], "snapshot_ts")
    write(tmp_path, "orderbook_deltas", [change(1, 11)], "exchange_ts")
    rows = rows_between(kd.open(tmp_path), TICKER, NOON, NOON + 24 * HOUR)
    midnight = us_of(NOON + 12 * HOUR)
    repeated = [(RowKind(row["kind"]).name, row["size_e2"]) for row in rows if row["at_us"] == midnight]
    assert repeated == [("CLEAR", 0), ("REMOVED", 0), ("SNAPSHOT", 600)]


def test_a_snapshot_that_differs_corrects_the_book(tmp_path):
    books = [snapshot(0, 10, [(400_000, 500)]), snapshot(5, 10, [(400_000, 500)]), snapshot(6, 20, [(300_000, 500)])]
    write(tmp_path, "orderbook_snapshots", books, "snapshot_ts")
    write(tmp_path, "coverage", [judged(NOON, "trade"), judged(NOON, "orderbook_delta", TICKER)], "hour_start")
    rows = rows_between(kd.open(tmp_path), TICKER, at(1), at(9))
    assert [us for kind, us in brief(rows) if kind == "CLEAR"] == [1_000_000, 6_000_000]
    assert books_of(rows)[us_of(at(6))] == {(True, 300_000): 500}


@MANY
@given(histories() | histories_whose_clocks_stop())
def test_the_books_are_those_of_a_recorded_market(history):
    record = InMemory(history)
    check(record, {row.snapshot_ts for row in record.snapshots})


@MANY
@given(ANY_SNAPSHOTS, ANY_CHANGES)
def test_of_whatever_rows_the_books_at_snapshots_are_those_of_the_record(snapshots, changes):
    record = Any(snapshots, changes)
    # In between, what a change without a time means may depend on what follows: a polled book begins nothing.
    check(record, {row.snapshot_ts for row in record.snapshots if row.is_of_stream})


def check(record, moments):
    if not record.snapshots or not record.all_changes:
        return
    ticker = f"KXEXPORT-{next(NAMES)}"
    times = [row.exchange_ts for row in record.all_changes] + list(moments)
    start, end = min(times), max(times) + HOUR / 60
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_with(Path(folder), rows_of(record, ticker))
        books = books_of(rows_between(lake, ticker, start, end))
    last = max(times)
    for moment in sorted({*moments, last}):
        if expected := recorded_book(record, moment):
            found = max((us for us in books if us <= us_of(moment)), default=None)
            assert found is not None
            assert books[found] == yes_book(expected.levels), moment
