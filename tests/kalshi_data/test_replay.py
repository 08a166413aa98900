"""Books through time: each is the book of its moment, and a hole resets them and says so."""

import tempfile
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import kalshi_data as kd
from kalshi_data.order_book import recorded_book
from tests.kalshi_data.conftest import HOLE
from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, judged, snapshot, write
from tests.storage.market_histories import histories, histories_whose_clocks_stop
from tests.storage.test_book_at_a_time import (
    ANY_CHANGES,
    ANY_SNAPSHOTS,
    Any,
    InMemory,
    lake_with,
    rows_of,
)

NAMES = count(1)
STEP = timedelta(seconds=7)
MANY = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


def test_a_book_says_how_certain_it_is(records):
    book = records.book(TICKER, at="2026-11-21T12:00:03Z")
    assert (book.state, book.based_on, book.changes) == ("complete", NOON, 1)
    assert book.known_until == NOON + timedelta(hours=2)
    assert book.yes_bids == [(Decimal("0.40"), Decimal("6.00"))]
    assert book.yes_asks == [(Decimal("0.45"), Decimal("7.00"))]
    assert book.no_bids == [(Decimal("0.55"), Decimal("7.00"))]


def test_a_book_inside_a_hole_names_the_hole(records):
    book = records.book(TICKER, at=at(10.5))
    assert (book.state, book.hole) == ("hole", HOLE)
    assert records.book(TICKER, at=at(11)).state == "complete"


def test_there_is_no_book_of_the_future(records):
    with pytest.raises(kd.NotKnownYetError, match="known until 2026-11-21T14:00:00"):
        records.book(TICKER, at="2026-11-21T14:00:01Z")


def test_there_is_no_book_before_the_first_snapshot(records):
    with pytest.raises(kd.MissingBookError, match=r"(?i)no book of"):
        records.book(TICKER, at="2026-11-21T11:59Z")


@pytest.fixture
def closing(tmp_path):
    """A lake whose market closes at half past twelve."""
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 10, [(400_000, 500)])], "snapshot_ts")
    hours = [judged(NOON + number * HOUR, "trade") for number in (0, 1)]
    life = judged(NOON, "orderbook_delta", TICKER) | {"until": NOON + HOUR / 2}
    write(tmp_path, "coverage", [*hours, life], "hour_start")
    return kd.open(tmp_path)


def test_of_a_closed_market_no_book_is_certain(closing):
    states = {minute: closing.book(TICKER, NOON + timedelta(minutes=minute)).state for minute in (29, 31, 61)}
    assert states == {29: "complete", 31: "unknown", 61: "unknown"}
    books = closing.replay(TICKER, NOON + timedelta(minutes=15), NOON + timedelta(minutes=61), every="15m")
    assert [book.state for book in books] == ["complete", "unknown", "unknown", "unknown"]
    assert closing.coverage(TICKER, NOON, NOON + HOUR).state == "complete"


def test_of_an_hour_whose_books_were_not_judged_none_is_certain(tmp_path):
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 10, [(400_000, 500)])], "snapshot_ts")
    books = judged(NOON, "orderbook_delta", known_until=NOON, state="pending")
    write(tmp_path, "coverage", [judged(NOON, "trade"), books], "hour_start")
    lake = kd.open(tmp_path)
    assert lake.book(TICKER, at(600)).state == "unknown"
    for name in (TICKER, None):
        found = lake.coverage(name, NOON, NOON + HOUR)
        assert (found.state, found.unknown) == ("unknown", ((NOON, NOON + HOUR),))
    assert lake.trades(None, NOON, NOON + HOUR).coverage.state == "complete"


def test_an_order_book_is_that_of_one_market(records):
    with pytest.raises(kd.LakeError, match="has 2 markets"):
        records.book("KXBTC", at=NOON)


def test_a_hole_resets_the_book_and_says_so(records):
    books = {book.at: book for book in records.replay(TICKER, NOON, at(22), every="500ms")}
    assert len(books) == 44
    assert books[at(10)].levels == {(True, 400_000): 600}
    assert not books[at(10)].reset_by
    inside, after, later = books[at(10.5)], books[at(11)], books[at(11.5)]
    assert (inside.state, inside.levels, inside.reset_by) == ("hole", {}, (HOLE,))
    assert (after.state, after.levels, after.reset_by) == ("complete", {(True, 410_000): 100}, (HOLE,))
    assert not later.reset_by
    assert books[at(20)].levels == {(True, 410_000): 123}


def test_a_hole_between_two_steps_is_told_too(records):
    books = list(records.replay(TICKER, NOON, at(30), every="2s"))
    assert [book.at for book in books if book.reset_by] == [at(12)]
    assert all(book.state == "complete" for book in books)


def test_quotes_are_the_best_of_the_book(records):
    rows = records.quotes(TICKER, NOON, at(12), every="2s").to_arrow().to_pylist()
    assert [row["at"] for row in rows] == [at(seconds) for seconds in range(0, 12, 2)]
    first, second, third = rows[:3]
    assert (first["yes_bid"], first["yes_ask"], first["yes_ask_size"]) == (Decimal("0.4"), Decimal("0.45"), 7)
    assert second["yes_bid_size"] == 6
    assert (third["yes_bid"], third["yes_ask"]) == (Decimal("0.4"), None)
    inside = records.quotes(TICKER, at(10.5), at(11), every="1s").to_arrow().to_pylist()
    assert [(row["state"], row["yes_bid"]) for row in inside] == [("hole", None)]


def test_without_a_period_all_of_the_market_s_record_is_meant(records):
    books = list(records.replay(TICKER, every="1s"))
    assert (books[0].at, books[-1].at) == (NOON, at(20))


def test_a_replay_goes_on_across_hours_and_days(tmp_path):
    changes = [change(seconds, 1 + number) for number, seconds in enumerate(range(1, 100_000, 1_000))]
    write(tmp_path, "orderbook_deltas", changes, "exchange_ts")
    write(tmp_path, "orderbook_snapshots", [snapshot(0, 0)], "snapshot_ts")
    books = list(kd.open(tmp_path).replay(TICKER, NOON, at(100_000), every="1000s"))
    assert [sum(book.levels.values()) for book in books] == [100 * number for number in range(100)]
    assert [book.changes for book in books] == list(range(100))


@MANY
@given(histories() | histories_whose_clocks_stop())
def test_each_book_is_that_of_its_moment(history):
    check(InMemory(history))


@MANY
@given(ANY_SNAPSHOTS, ANY_CHANGES)
def test_of_whatever_rows_each_book_is_that_of_its_moment(snapshots, changes):
    check(Any(snapshots, changes))


def check(record):
    if not record.snapshots or not record.all_changes:
        return
    ticker = f"KXREPLAY-{next(NAMES)}"
    times = [row.exchange_ts for row in record.all_changes] + [row.snapshot_ts for row in record.snapshots]
    start, end = min(times) - STEP, max(times) + 2 * STEP
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_with(Path(folder), rows_of(record, ticker))
        found = {
            book.at: (book.based_on, book.source, book.changes, book.levels)
            for book in lake.replay(ticker, start, end, STEP)
        }
    steps = [start + number * STEP for number in range(-((start - end) // STEP))]
    expected = {each: tuple(book) for each in steps if (book := recorded_book(record, each))}
    assert found == expected
