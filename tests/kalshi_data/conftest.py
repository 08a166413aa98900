"""A lake of two events of a series, with a hole in one of its books."""

import pytest

import kalshi_data as kd
from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, event, judged, market, snapshot, trade, write

OTHER = "KXBTC-26NOV22-T100"
FOREIGN = "KXRAIN-26NOV21"
HOLE = (at(10.25), at(10.75))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    trades = [trade(number, ticker) for number in (1, 5_000) for ticker in (TICKER, OTHER, FOREIGN)]
    trades.append(trade(2, "KXUNLISTED-1"))
    write(folder, "trades", [*trades, trade(-4_000, price_e6=999_999, size_e2=1)], "exchange_ts")
    snapshots = [snapshot(0, 10, [(400_000, 500)], [(550_000, 700)]), snapshot(10.75, 14, [(410_000, 100)], [])]
    write(folder, "orderbook_snapshots", snapshots, "snapshot_ts")
    changes = [change(2, 11), change(3.5, 12, 550_000, -700, yes_side=False), change(20, 15, 410_000, 23)]
    write(folder, "orderbook_deltas", changes, "exchange_ts")
    coverage = [judged(NOON + number * HOUR, "trade") for number in (-2, -1, 0, 1)]
    coverage += [judged(NOON + number * HOUR, "orderbook_delta", TICKER) for number in (-1, 1)]
    coverage += [judged(NOON, "orderbook_delta", TICKER, [HOLE]), judged(NOON, "orderbook_delta", OTHER)]
    write(folder, "coverage", coverage, "hour_start")
    markets = [market(TICKER, "KXBTC-26NOV21"), market(OTHER, "KXBTC-26NOV22"), market(FOREIGN, FOREIGN)]
    write(folder, "markets", markets, "updated_at")
    settled = market(TICKER, "KXBTC-26NOV21", NOON + 24 * HOUR, result="yes", status="finalized")
    write(folder, "markets", [settled], "updated_at")
    events = [event("KXBTC-26NOV21", "KXBTC"), event("KXBTC-26NOV22", "KXBTC"), event(FOREIGN, "KXRAIN")]
    write(folder, "events", events, "updated_at")
    write(folder, "series", [{"ticker": "KXBTC", "title": "", "updated_at": NOON, "details": "{}"}], "updated_at")
    return folder


@pytest.fixture
def lake(folder):
    return kd.open(folder)
