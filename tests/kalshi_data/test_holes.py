"""Rows in a hole are marked, by the library and in the lake's own views: others of the same time may be missing."""

import duckdb
import pytest

import kalshi_data as kd
from kalshi_data.description import lake_sql
from kalshi_data.layout import COVERAGE, DELTAS, SNAPSHOTS, TRADES
from kalshi_data.times import us_of
from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, judged, snapshot, trade, write

OTHER = "KXBTC-26NOV22-T100"


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """A lake with an outage of books and trades from 10 to 20 s, and a hole of one book from 3,000 to 4,000 s."""
    folder = tmp_path_factory.mktemp("lake")
    seconds = (9, 10, 19.999, 20, 3_000, 3_999, 4_000)
    changes = [change(each, 1, ticker=ticker) for ticker in (OTHER, TICKER) for each in seconds]
    write(folder, "orderbook_deltas", changes, "exchange_ts")
    write(folder, "trades", [trade(each) for each in seconds], "exchange_ts")
    write(folder, "orderbook_snapshots", [snapshot(5, 1), snapshot(15, 1)], "snapshot_ts")
    outage, own = (at(10), at(20)), [(at(3_000), at(3_600)), (at(3_600), at(4_000))]
    coverage = [judged(NOON, "trade", holes=[outage]), judged(NOON + HOUR, "trade")]
    coverage += [judged(NOON, "orderbook_delta", ticker, [outage]) for ticker in (OTHER,)]
    coverage += [judged(NOON, "orderbook_delta", TICKER, [outage, own[0]])]
    coverage += [judged(NOON + HOUR, "orderbook_delta", TICKER, own[1:])]
    write(folder, "coverage", coverage, "hour_start")
    return folder


def marked(records):
    table = records.to_arrow()
    rows = zip(*(table[name].to_pylist() for name in ("ticker", "exchange_ts", "in_hole")), strict=True)
    return [(ticker, (moment - NOON).total_seconds()) for ticker, moment, is_in_hole in rows if is_in_hole]


IN_OUTAGE = [10, 19.999]


def test_changes_in_a_hole_of_their_book_are_marked(holed):
    lake = kd.open(holed)
    own = [(TICKER, second) for second in (*IN_OUTAGE, 3_000, 3_999)]
    assert sorted(marked(lake.book_changes())) == sorted([*own, *((OTHER, second) for second in IN_OUTAGE)])
    assert marked(lake.book_changes(TICKER)) == own
    assert marked(lake.book_changes(TICKER, at(3_600), at(3_999))) == []


def test_trades_are_marked_by_the_whole_exchange_s_holes(holed):
    assert marked(kd.open(holed).trades()) == [(TICKER, second) for second in IN_OUTAGE]


def test_without_holes_no_row_is_marked(lake):
    trades = lake.trades().to_arrow()
    assert trades["in_hole"].to_pylist() == [False] * trades.num_rows
    assert trades.schema.field("in_hole").metadata[b"description"].startswith(b"whether")
    assert lake.quotes().to_arrow()["in_hole"].to_pylist() == []


@pytest.fixture
def session(holed):
    present = (TRADES, DELTAS, SNAPSHOTS, COVERAGE)
    with duckdb.connect() as session:
        session.execute(lake_sql(present, str(holed)))
        yield session


def test_the_views_of_lake_sql_mark_the_same_rows(holed, session):
    lake = kd.open(holed)
    for view, records in (("book_changes", lake.book_changes()), ("trades", lake.trades())):
        rows = session.sql(f"SELECT ticker, epoch_us(exchange_ts) FROM {view} WHERE in_hole").fetchall()
        assert sorted(rows) == sorted((ticker, us_of(at(second))) for ticker, second in marked(records))
    books = session.sql("SELECT epoch_us(snapshot_ts), in_hole FROM book_snapshots ORDER BY ALL").fetchall()
    assert books == [(us_of(at(5)), False), (us_of(at(15)), True)]
    assert session.sql("SELECT in_hole FROM quotes").fetchall() == []


def test_the_view_of_holes_has_each_with_its_bounds(session):
    query = "SELECT ticker, epoch_us(since), epoch_us(until) FROM holes WHERE channel = 'orderbook_delta'"
    expected = {(TICKER, 10, 20), (TICKER, 3_000, 3_600), (TICKER, 3_600, 4_000), (OTHER, 10, 20)}
    rows = {(ticker, us_of(at(since)), us_of(at(until))) for ticker, since, until in expected}
    assert set(session.sql(query).fetchall()) == rows
