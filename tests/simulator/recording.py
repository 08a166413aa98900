"""A recorder as it should be: what connections were sent, as rows of production. For tests that then damage them."""

import json
import zlib
from collections import Counter

from psycopg2.extras import execute_values

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.market.exchange import Exchange
from app.simulator.truth import Header, Truth
from app.simulator.websocket.cents_frames import OLD_LIFECYCLE, CentsFrames

START_US = 1_795_246_814_000_000
TABLES = ("orderbook_deltas", "trades", "tickers", "orderbook_snapshots", "lifecycle_events")

COLUMNS = {
    "orderbook_deltas": "exchange_ts received_at clock delta_e2 price_e6 nth yes_side after_gap ts_missing ticker",
    "trades": "exchange_ts received_at size_e2 yes_price_e6 taker_yes is_block_trade from_rest ticker trade_id",
    "tickers": "exchange_ts received_at digest yes_bid_size_e2 yes_ask_size_e2 last_trade_size_e2 volume_e2 "
    "open_interest_e2 dollar_volume dollar_open_interest price_e6 yes_bid_e6 yes_ask_e6 nth ts_missing ticker",
    "lifecycle_events": "exchange_ts received_at digest nth ticker event_type payload",
    "orderbook_snapshots": "snapshot_ts received_at clock levels_digest ticker source "
    "yes_prices_e6 yes_sizes_e2 no_prices_e6 no_sizes_e2",
}
A_DAY_US = 86_400_000_000
MOMENT = "TIMESTAMPTZ 'epoch' + %s * INTERVAL '1 microsecond'"


class Run:
    """An exchange that is told to its truth, second by second."""

    def __init__(self, folder, *, seed=7, markets=100, rate=150, wire="dollars"):
        self.catalog = Catalog(seed, markets, START_US, whole_cents=wire == "cents")
        self.exchange = Exchange(self.catalog, rate)
        self.truth = Truth(folder, Header(seed, markets, START_US, rate, wire))
        self.seen = []  # (ordinal, change)
        self.rows = {table: [] for table in TABLES}
        self._nths = Counter()

    def advance(self, seconds, *, to=("a",)):
        """Lets time pass; everything that happens is sent to these connections."""
        for _ in range(seconds):
            for change in self.exchange.advance(self.exchange.now_us + 1_000_000):
                ordinal = self.truth.history(change)
                self.seen.append((ordinal, change))
                for connection in to:
                    self.truth.sent(connection, ordinal)
        return self

    def record(self, changes):
        for change in changes:
            if isinstance(change, SimDelta):
                self._delta(change)
            elif isinstance(change, SimTrade):
                self._trade(change)
            elif isinstance(change, SimTicker):
                self._ticker(change)
            elif isinstance(change, SimLifecycle) and change.message_type != "silent":
                self._lifecycle(change)
        return self

    def record_everything(self):
        return self.record(change for _, change in self.seen)

    def record_in_cents(self):
        """The older wire: whole seconds, no clock, no sizes in tickers, one of two ways to tell life cycles."""
        wire = CentsFrames(self.catalog)
        for _, change in self.seen:
            at_us = change.at_us // 1_000_000 * 1_000_000
            if isinstance(change, SimDelta):
                self._delta(change._replace(at_us=at_us, clock=-1))
            elif isinstance(change, SimTrade):
                self._trade(change._replace(at_us=at_us, is_block_trade=None))
            elif isinstance(change, SimTicker):
                sizes = dict.fromkeys(("yes_bid_size_e2", "yes_ask_size_e2", "last_trade_size_e2"))
                self._ticker(change._replace(at_us=at_us, price_e6=change.price_e6 or 0, **sizes))
            elif message := wire.lifecycle(change, OLD_LIFECYCLE):
                said = json.loads(message.payload(1, 1, b""))["msg"]
                self._lifecycle(change._replace(event_type=said["event_type"], payload=said))
        return self

    def record_books(self, markets):
        for market in markets:
            book = self.exchange.book(market)
            levels = [[value for value, _ in side] + [] for side in (book.yes, book.no)]
            sizes = [[size for _, size in side] for side in (book.yes, book.no)]
            now_us = self.exchange.now_us
            row = (
                now_us,
                now_us,
                book.clock,
                0,
                self.catalog.ticker(market),
                "ws",
                levels[0],
                sizes[0],
                levels[1],
                sizes[1],
            )
            self.rows["orderbook_snapshots"].append(row)
        return self

    def write(self, connection):
        """Into the database; the truth is complete from then on."""
        self.truth.close()
        with connection.cursor() as cursor:
            for table, rows in self.rows.items():
                cursor.execute(
                    "SELECT ensure_chunks(%s, " + MOMENT + ", " + MOMENT + ")", (table, START_US, START_US + 10**11)
                )
                insert(cursor, table, rows)

    def _nth(self, *key):
        self._nths[key] += 1
        return self._nths[key] - 1

    def _delta(self, delta):
        at_us = delta.at_us // 1_000 * 1_000
        ticker = self.catalog.ticker(delta.market)
        nth = self._nth(ticker, at_us, *delta[2:])
        row = (at_us, at_us, delta.clock, delta.delta_e2, delta.price_e6, nth, delta.yes_side, False, False, ticker)
        self.rows["orderbook_deltas"].append(row)

    def _trade(self, trade):
        at_us = trade.at_us // 1_000 * 1_000
        ticker = self.catalog.ticker(trade.market)
        row = (at_us, at_us, trade.size_e2, trade.yes_price_e6, trade.taker_yes, trade.is_block_trade, False, ticker)
        self.rows["trades"].append((*row, trade.trade_id))

    def _ticker(self, change):
        at_us = change.at_us // 1_000 * 1_000
        ticker = self.catalog.ticker(change.market)
        digest = zlib.crc32(repr(change[2:]).encode())
        nth = self._nth(ticker, at_us, digest)
        prices = (change.price_e6, change.yes_bid_e6, change.yes_ask_e6)
        self.rows["tickers"].append((at_us, at_us, digest, *change[5:], *prices, nth, False, ticker))

    def _lifecycle(self, change):
        payload = json.dumps(change.payload | {"market_ticker": change.ticker})
        nth = self._nth(change.ticker, change.event_type, payload)
        event_type = change.event_type or change.message_type
        self.rows["lifecycle_events"].append(
            (change.at_us + 5, change.at_us + 5, 1, nth, change.ticker, event_type, payload)
        )


def insert(cursor, table, rows):
    columns = COLUMNS[table].split()
    template = "(" + ", ".join([MOMENT, MOMENT] + ["%s"] * (len(columns) - 2)) + ")"
    execute_values(cursor, f"INSERT INTO {table} ({', '.join(columns)}) VALUES %s", rows, template, page_size=1_000)
