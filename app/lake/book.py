"""The book of a market at a moment, out of the lake: the last snapshot before it, and every change since. The same rule
as order_book() in sql/shared/0006_readable.sql, by which it is tested."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from app.book import Levels, apply_deltas
from app.errors import OperatorError
from app.lake.hours import DAY, HOUR, day_of, hours_between
from app.lake.lake import Lake
from app.lake.storage import storage_errors

# A snapshot is stamped when it was sent, a change when it happened: a change it lacks may be stamped a bit earlier.
STAMP_TOLERANCE = timedelta(minutes=1)
LOOK_BACK_DAYS = 7
SNAPSHOT_COLUMNS = ["snapshot_ts", "clock", "yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2"]
DELTA_COLUMNS = ["exchange_ts", "clock", "yes_side", "price_e6", "delta_e2"]


class Book(NamedTuple):
    ticker: str
    at: datetime
    snapshot_ts: datetime
    levels: Levels

    def bids(self, yes_side: bool) -> list[tuple[int, int]]:
        """Price and size, the best first."""
        return sorted(((price, size) for (side, price), size in self.levels.items() if side is yes_side), reverse=True)


@storage_errors("A book out of the lake")
def book_at(lake: Lake, ticker: str, at: datetime) -> Book:
    base = _base(lake, ticker, at)
    levels = {(True, price): size for price, size in zip(base["yes_prices_e6"], base["yes_sizes_e2"], strict=True)}
    levels |= {(False, price): size for price, size in zip(base["no_prices_e6"], base["no_sizes_e2"], strict=True)}
    return Book(ticker, at, base["snapshot_ts"], apply_deltas(levels, _changes(lake, ticker, base, at)))


def _base(lake: Lake, ticker: str, at: datetime) -> dict[str, Any]:
    """The last snapshot that carries a clock, which says exactly what it holds; else the last without one."""
    clockless = None
    for day in (day_of(at) - number * DAY for number in range(LOOK_BACK_DAYS)):
        wanted = (pc.field("snapshot_ts") <= at) & pc.field("yes_prices_e6").is_valid()
        of_day = (pc.field("date") == f"{day:%Y-%m-%d}") & (pc.field("ticker") == ticker)
        found = lake.orderbook_snapshots.to_table(SNAPSHOT_COLUMNS, filter=of_day & wanted).sort_by("snapshot_ts")
        clocked = found.filter(pc.field("clock") >= 0)
        if clocked.num_rows:
            return _last(clocked)
        clockless = clockless or (_last(found) if found.num_rows else None)
    if clockless is None:
        raise OperatorError(
            f"The lake has no book of {ticker} at {at.isoformat()}.",
            f"There is no snapshot of it in the {LOOK_BACK_DAYS} days before.",
            "check the ticker; the hours of that time may not be exported yet.",
        )
    return clockless


def _last(table: pa.Table) -> dict[str, Any]:
    row: dict[str, Any] = table.slice(table.num_rows - 1).to_pylist()[0]
    return row


def _changes(lake: Lake, ticker: str, base: dict[str, Any], at: datetime) -> Iterator[tuple[bool, int, int]]:
    since = base["snapshot_ts"] - STAMP_TOLERANCE
    dates = sorted({f"{hour:%Y-%m-%d}" for hour in hours_between(since, at + HOUR)})
    wanted = (pc.field("ticker") == ticker) & (pc.field("exchange_ts") > since) & (pc.field("exchange_ts") <= at)
    found = lake.orderbook_deltas.to_table(DELTA_COLUMNS, filter=pc.field("date").isin(dates) & wanted)
    by_clock = (pc.field("clock") > base["clock"]) & (pc.field("clock") >= 0)
    by_time = pc.field("exchange_ts") > base["snapshot_ts"]
    since_base = by_clock | (by_time & (pc.field("clock") < 0)) if base["clock"] >= 0 else by_time
    after = found.filter(since_base)
    return zip(*(after[name].to_pylist() for name in ("yes_side", "price_e6", "delta_e2")), strict=True)
