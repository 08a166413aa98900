"""Export markets for backtesters, hour by hour: memory holds one hour of one market."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data import names
from kalshi_data.coverage import BOOKS, TRADES, Coverage
from kalshi_data.errors import LakeError
from kalshi_data.exports.csv_files import PlainDay, TardisDay
from kalshi_data.exports.events import MarketEvents
from kalshi_data.exports.files import DayWriter
from kalshi_data.exports.hftbacktest import HftbacktestDay
from kalshi_data.exports.nautilus import NautilusDay, write_instrument
from kalshi_data.exports.rows import RowKind
from kalshi_data.files import LakeFiles
from kalshi_data.lake import Lake
from kalshi_data.lake_rows import coverage_of
from kalshi_data.layout import DAY, DELTAS, MARKETS, SNAPSHOTS, day_of
from kalshi_data.layout import TRADES as TRADES_TABLE
from kalshi_data.times import Interval, Moment, period_of

NewDay = Callable[[Path, str, datetime, LakeFiles], DayWriter]
FORMATS: dict[str, NewDay] = {
    "nautilus": lambda folder, ticker, day, _files: NautilusDay(folder, ticker, day),
    "hftbacktest": lambda folder, ticker, day, _files: HftbacktestDay(folder, ticker, day),
    "tardis-csv": TardisDay,
    "csv": lambda folder, ticker, day, _files: PlainDay(folder, ticker, day),
}


class ExportedMarket(NamedTuple):
    """What an export wrote of a market."""

    ticker: str
    changes: int
    trades: int
    resets: int
    books: Coverage

    def __str__(self) -> str:
        holes = f"{len(self.books.holes)} holes" if self.books.state != "unknown" else "completeness unknown"
        return f"{self.ticker}: {self.changes} book changes, {self.trades} trades, {holes}"


class _Tally:
    """Counts what is written."""

    def __init__(self) -> None:
        self.kinds: Counter[int] = Counter()
        self.price_e6 = self.size_e2 = 0

    def add(self, events: pa.Table) -> None:
        for found in pc.value_counts(events["kind"]).to_pylist():
            self.kinds[found["values"]] += found["counts"]
        self.price_e6 = gcd(self.price_e6, *pc.unique(events["price_e6"]).to_pylist())
        self.size_e2 = gcd(self.size_e2, *pc.unique(events["size_e2"]).to_pylist())


def export_to(
    lake: Lake,
    format_name: str,
    name: str,
    start: Moment | None,
    end: Moment | None,
    folder: Path,
) -> Iterator[ExportedMarket]:
    """Write the markets of a name, one after the other. Raise LakeError if the lake knows no such name, or if a file is
    there already."""
    period = _bounded(lake.files, period_of(start, end))
    tickers = names.tickers_of(lake.files, name, period)
    known = {
        row["ticker"]: row for row in names.latest(lake.files, MARKETS, pc.field("ticker").isin(tickers)).to_pylist()
    }
    for ticker in tickers:
        if format_name == "nautilus":
            write_instrument(folder, ticker, known.get(ticker, {}))
        yield _export_market(lake, FORMATS[format_name], ticker, period, folder)


def _export_market(lake: Lake, new_day: NewDay, ticker: str, period: Interval, folder: Path) -> ExportedMarket:
    books = coverage_of(lake.files, BOOKS, [ticker], period)
    tally, writer, today = _Tally(), None, None
    for hour, events in MarketEvents(lake.files, ticker, books.holes, period).hours():
        if writer is None or day_of(hour) != today:
            if writer is not None:
                writer.finish()
            today = day_of(hour)
            writer = new_day(folder, ticker, today, lake.files)
        writer.write(hour, events)
        tally.add(events)
    if writer is not None:
        writer.finish()
    trades = coverage_of(lake.files, TRADES, [ticker], period)
    _write_coverage(folder, ticker, lake.location, period, books, trades, tally)
    kinds = tally.kinds
    written = kinds[RowKind.TRADE] + kinds[RowKind.BLOCK_TRADE]
    return ExportedMarket(ticker, kinds[RowKind.CHANGE], written, kinds[RowKind.CLEAR], books)


def _bounded(files: LakeFiles, period: Interval) -> Interval:
    """Return the part of the period for which the lake has days."""
    days = sorted({day for table in (DELTAS, SNAPSHOTS, TRADES_TABLE) for day in files.days(table)})
    if not days:
        raise LakeError(f"The lake at {files.location} has no order books and no trades.", fix="open another lake.")
    first, last = (datetime.fromisoformat(f"{day}T00:00:00Z") for day in (days[0], days[-1]))
    bounded = max(period[0], first), min(period[1], last + DAY)
    if bounded[0] >= bounded[1]:
        known = f"It has {days[0]} to {days[-1]}."
        raise LakeError(f"The lake at {files.location} has no rows of that time.", known, "name another time.")
    return bounded


def _write_coverage(
    folder: Path, ticker: str, location: str, period: Interval, books: Coverage, trades: Coverage, tally: _Tally
) -> None:
    """Write beside the export what may be missing in it: few of the formats can say that themselves."""
    found: dict[str, Any] = {
        "ticker": ticker,
        "lake": location,
        "from": period[0].isoformat(),
        "to": period[1].isoformat(),
        "smallest_price_step_e6": tally.price_e6,
        "smallest_size_step_e2": tally.size_e2,
        "rows": {kind.name.lower(): tally.kinds[kind] for kind in RowKind if kind is not RowKind.REMOVED},
        "books": books.attributes(),
        "trades": trades.attributes(),
    }
    path = folder / "coverage" / f"{ticker}_{period[0]:%Y%m%dT%H%M%SZ}_{period[1]:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
