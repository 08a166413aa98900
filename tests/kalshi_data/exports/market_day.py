"""A lake of one market around midnight: hundreds of changes, trades that cause some, snapshots, and holes in which events were
lost. What was lost is in no file."""

import random

from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, event, judged, market, snapshot, trade, write

START, END = NOON + 10 * HOUR, NOON + 14 * HOUR
SECONDS = range(36_000, 50_400)
HOLES = ((39_000, 39_600), (43_190, 43_215), (47_000, 47_001))


class MarketDay:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.book = {}
        self.clock = 0
        self.changes, self.snapshots, self.trades = [], [], []

    def write(self, folder):
        for second in SECONDS[::4]:
            self.step(second + self.random.choice((0, 0.001, 0.5)))
        write(folder, "orderbook_deltas", self.changes, "exchange_ts")
        write(folder, "orderbook_snapshots", self.snapshots, "snapshot_ts")
        write(folder, "tickers", [quote(second) for second in SECONDS[::600]], "exchange_ts")
        write(folder, "trades", self.trades, "exchange_ts")
        holes = [(at(since), at(until)) for since, until in HOLES]
        coverage = []
        for hour in (START + number * HOUR for number in range(4)):
            inside = [(max(a, hour), min(b, hour + HOUR)) for a, b in holes if a < hour + HOUR and b > hour]
            coverage += [judged(hour, "trade"), judged(hour, "orderbook_delta", TICKER, inside)]
        write(folder, "coverage", coverage, "hour_start")
        known = market(TICKER, "KXBTC-26NOV21") | {"open_time": START, "close_time": END}
        write(folder, "markets", [known | {"price_level_structure": "deci_cent"}], "updated_at")
        write(folder, "events", [event("KXBTC-26NOV21", "KXBTC")], "updated_at")

    def step(self, second):
        is_lost = any(since <= second < until for since, until in HOLES)
        for _ in range(self.random.randint(1, 5)):
            self.move(second, is_lost)
        ends_hole = any(second - 4 < until <= second for _, until in HOLES)
        if not is_lost and (ends_hole or not self.snapshots or self.random.random() < 0.005):
            sides = (
                [(price, size) for (side, price), size in self.book.items() if side is yes] for yes in (True, False)
            )
            self.snapshots.append(snapshot(second, self.clock, *sides))

    def move(self, second, is_lost):
        yes = self.random.random() < 0.5
        price_e6 = self.random.randrange(300_000, 500_000, 1_000 if self.random.random() < 0.2 else 10_000)
        size_e2 = self.book.get((yes, price_e6), 0)
        delta_e2 = -size_e2 if size_e2 and self.random.random() < 0.5 else self.random.randint(1, 50_000)
        if delta_e2 < 0 and self.random.random() < 0.3 and not is_lost:
            row = trade(
                second,
                price_e6=price_e6 if yes else 1_000_000 - price_e6,
                size_e2=-delta_e2,
                trade_id=f"t{len(self.trades)}",
            )
            self.trades.append(row | {"taker_yes": not yes})
        self.clock += 1
        self.book[yes, price_e6] = size_e2 + delta_e2
        if not self.book[yes, price_e6]:
            del self.book[yes, price_e6]
        if not is_lost:
            self.changes.append(change(second, self.clock, price_e6, delta_e2, yes))


def quote(second):
    values = {"yes_bid_e6": 400_000, "yes_bid_size_e2": 150, "digest": second, "nth": 0, "ts_missing": False}
    return values | {"exchange_ts": at(second), "received_at": at(second + 0.25), "ticker": TICKER}
