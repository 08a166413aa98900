"""Make a sample lake: one hour of a small simulated exchange, without processes or databases, in seconds.

It has everything that an exported lake has, with two declared holes: an outage of half a minute, in which nothing was
received, and a longer hole of one book. The same seed gives the same rows.
"""

import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from app.coverage.evidence import BOOKS, EXCHANGE_CHANNELS
from app.coverage.intervals import moment_of, us_of
from app.lake.candle_days import make_candles
from app.lake.description import LakeDescription
from app.lake.parquet import Manifest, duckdb_session, write_sorted
from app.lake.storage import FolderStorage
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import Change, SimBook, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.market.exchange import Exchange
from app.simulator.market.random import draw
from kalshi_data.layout import (
    COVERAGE,
    DELTAS,
    EVENTS,
    FILE,
    FOLDERS,
    HOUR,
    HOURLY,
    IDENTITY,
    LIFECYCLE,
    MARKETS,
    SERIES,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    day_folder,
    hour_folder,
    manifest_key,
)
from kalshi_data.schema import schema_of
from kalshi_data.times import Interval

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MARKET_COUNT, CHANGES_PER_SECOND = 120, 20
SLICE = timedelta(seconds=30)
SLICES_BETWEEN_BOOKS = 20
DELAY_US = 20_000  # from the exchange to a gatherer
OUTAGE = (START + timedelta(minutes=20), START + timedelta(minutes=20, seconds=30))
BUSIEST_HOLE = (START + timedelta(minutes=40), START + timedelta(minutes=43))
Row = dict[str, Any]


class SampleHour:
    """The rows of the hour."""

    def __init__(self, seed: int) -> None:
        self._catalog = Catalog(seed, MARKET_COUNT, us_of(START))
        self._exchange = Exchange(self._catalog, CHANGES_PER_SECOND)
        self._opened: dict[int, datetime] = {}  # when the first book of a market was received
        self._closed: dict[int, datetime] = {}
        self._busiest: int | None = None
        self.rows: dict[str, list[Row]] = defaultdict(list)

    def record(self) -> None:
        """Let the hour pass."""
        self._take_books(START, everything=True)
        slices = HOUR // SLICE
        for number in range(1, slices + 1):
            until = START + number * SLICE
            for change in self._exchange.advance(us_of(until) - 1):
                self._hear(change)
            if number < slices:
                self._take_books(until, everything=number % SLICES_BETWEEN_BOOKS == 0 or until == OUTAGE[1])
        self._describe()
        self._judge()

    def _hear(self, change: Change) -> None:
        if isinstance(change, SimLifecycle):
            self._hear_lifecycle(change)
            return
        at = moment_of(change.at_us // 1_000 * 1_000)
        if _is_inside(OUTAGE, at):
            return
        times = {"exchange_ts": at, "received_at": moment_of(change.at_us + DELAY_US)}
        row = times | {"ticker": self._catalog.ticker(change.market)}
        if isinstance(change, SimDelta):
            self._hear_delta(change, row)
        elif isinstance(change, SimTrade):
            names = ("trade_id", "yes_price_e6", "size_e2", "taker_yes", "is_block_trade")
            self.rows[TRADES].append(row | {name: getattr(change, name) for name in names} | {"from_rest": False})
        else:
            self._hear_ticker(change, row)

    def _hear_delta(self, change: SimDelta, row: Row) -> None:
        if self._busiest is None:
            self._busiest = change.market
        if change.market == self._busiest and _is_inside(BUSIEST_HOLE, row["exchange_ts"]):
            return
        values = {name: getattr(change, name) for name in ("clock", "yes_side", "price_e6", "delta_e2")}
        self.rows[DELTAS].append(row | values | {"nth": 0, "after_gap": False, "ts_missing": False})

    def _hear_ticker(self, change: SimTicker, row: Row) -> None:
        values = change._asdict()
        del values["at_us"], values["market"]
        for name in ("yes_bid_e6", "yes_ask_e6"):
            size = values[f"{name.removesuffix('_e6')}_size_e2"]
            values[name] = values[name] if size else None
        digest = draw(change.at_us, change.market) >> 1
        self.rows[TICKERS].append(row | values | {"digest": digest, "nth": 0, "ts_missing": False})

    def _hear_lifecycle(self, change: SimLifecycle) -> None:
        if not change.ticker:
            return
        event_type = change.event_type or change.message_type
        index = self._catalog.index_of(change.ticker)
        if index is not None and event_type in {"determined", "settled"}:
            self._closed.setdefault(index, moment_of(self._catalog.close_us(index)))
        self.rows[LIFECYCLE].append(
            {
                "exchange_ts": moment_of(change.at_us),
                "received_at": moment_of(change.at_us + DELAY_US),
                "ticker": change.ticker,
                "event_type": event_type,
                "payload": msgspec.json.encode(change.payload).decode(),
                "digest": draw(change.at_us, len(self.rows[LIFECYCLE])) >> 1,
                "nth": 0,
            }
        )

    def _take_books(self, at: datetime, *, everything: bool) -> None:
        """Receive the books of all open markets, or of those that have opened and of those whose hole ends."""
        for index in range(self._exchange.market_count):
            if self._exchange.status(index) != "active":
                continue
            is_new = index not in self._opened
            ends_hole = at == BUSIEST_HOLE[1] and index == self._busiest
            if everything or is_new or ends_hole:
                self._opened.setdefault(index, at)
                self.rows[SNAPSHOTS].append(self._snapshot(index, at, self._exchange.book(index)))

    def _snapshot(self, index: int, at: datetime, book: SimBook) -> Row:
        return {
            "snapshot_ts": at,
            "received_at": at + timedelta(microseconds=DELAY_US),
            "ticker": self._catalog.ticker(index),
            "clock": book.clock,
            "levels_digest": draw(us_of(at), index) >> 1,
            "source": "ws",
            "yes_prices_e6": [price_e6 for price_e6, _ in book.yes],
            "yes_sizes_e2": [size_e2 for _, size_e2 in book.yes],
            "no_prices_e6": [price_e6 for price_e6, _ in book.no],
            "no_sizes_e2": [size_e2 for _, size_e2 in book.no],
        }

    def _describe(self) -> None:
        """Write down the series, events and markets as they are at the end of the hour."""
        end_us, updated = us_of(START + HOUR), {"updated_at": START + HOUR, "details": "{}"}
        markets = [self._catalog.market(index, end_us) for index in range(self._catalog.count(end_us))]
        for market in markets:
            is_settled = 0 < market.settled_us <= end_us
            self.rows[MARKETS].append(
                updated
                | {
                    "ticker": market.ticker,
                    "event_ticker": market.event_ticker,
                    "title": market.title,
                    "yes_sub_title": market.yes_sub_title,
                    "no_sub_title": market.no_sub_title,
                    "status": self._catalog.status(market.number, end_us),
                    "market_type": "binary",
                    "result": market.result,
                    "open_time": moment_of(market.open_us),
                    "close_time": moment_of(market.close_us),
                    "settlement_ts": moment_of(market.settled_us) if is_settled else None,
                    "settlement_value_e6": 1_000_000 * (market.result == "yes") if is_settled else None,
                    "price_level_structure": market.price_level_structure,
                }
            )
        for event in [self._catalog.event(number, end_us) for number in sorted({market.event for market in markets})]:
            values = {"event_ticker": event.ticker, "series_ticker": event.series_ticker, "title": event.title}
            self.rows[EVENTS].append(updated | values | {"mutually_exclusive": event.mutually_exclusive})
        named = {row["series_ticker"] for row in self.rows[EVENTS]}
        for series in map(self._catalog.series, range(self._catalog.series_count)):
            if series.ticker in named:
                values = {"ticker": series.ticker, "title": series.title, "category": series.category}
                self.rows[SERIES].append(updated | values | {"frequency": series.frequency})

    def _judge(self) -> None:
        """Declare what was not received."""
        for channel in EXCHANGE_CHANNELS:
            is_heard = channel not in {"trade", "ticker"}
            self.rows[COVERAGE].append(_judgement("", channel, (START, START + HOUR), [] if is_heard else [OUTAGE]))
        for index, opened in self._opened.items():
            closed = min(START + HOUR, self._closed.get(index, moment_of(self._catalog.close_us(index))))
            if opened < closed:
                holes = [OUTAGE, BUSIEST_HOLE] if index == self._busiest else [OUTAGE]
                holes = [(max(a, opened), min(b, closed)) for a, b in holes if a < closed and b > opened]
                self.rows[COVERAGE].append(_judgement(self._catalog.ticker(index), BOOKS, (opened, closed), holes))


def make_sample(folder: Path, seed: int) -> int:
    """Write the lake into a folder. Return how many rows it has, candles apart."""
    hour = SampleHour(seed)
    hour.record()
    storage = FolderStorage(folder)
    with tempfile.TemporaryDirectory(prefix="kalshi-sample-") as name, duckdb_session(Path(name)) as session:
        for table, rows in hour.rows.items():
            where = hour_folder(START) if table in HOURLY else day_folder(START)
            key, schema, path = f"{FOLDERS[table]}/{where}/{FILE}", schema_of(table), Path(name) / f"{table}.parquet"
            session.register("given", pa.Table.from_pylist(rows, schema))
            written = write_sorted(session, "FROM given", schema, IDENTITY[table], path)
            storage.put_file(key, path, None)
            storage.put(manifest_key(key), Manifest.of(key, written).encode(), None)
            session.unregister("given")
    make_candles(storage, START.replace(hour=0))
    LakeDescription(storage).refresh()
    return sum(map(len, hour.rows.values()))


def _is_inside(interval: Interval, moment: datetime) -> bool:
    return interval[0] <= moment < interval[1]


def _judgement(ticker: str, channel: str, period: Interval, holes: list[Interval]) -> Row:
    return {
        "ticker": ticker,
        "hour_start": START,
        "channel": channel,
        "state": "hole" if holes else "complete",
        "known_until": START + HOUR,
        "since": period[0],
        "until": period[1],
        "holes_from": [since for since, _ in holes],
        "holes_until": [until for _, until in holes],
        "repaired_from": [],
        "repaired_until": [],
        "repaired_by": [],
    }
