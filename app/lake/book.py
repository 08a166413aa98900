"""The book of a market at a time, out of the lake, by the rule of app/book.py; and what is known of it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from app.book import (
    LATEST_STAMP,
    Change,
    Knowledge,
    Levels,
    RecordedBook,
    Snapshot,
    apply_deltas,
    lacking_for_certain,
    recorded_book,
)
from app.errors import OperatorError
from app.lake.hours import DAY, HOUR, day_of, hours_between
from app.lake.lake import Lake
from app.lake.storage import storage_errors

LOOK_BACK_DAYS = 7
LEVELS = ("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2")
LEVEL = ["yes_side", "price_e6"]
SNAPSHOT_COLUMNS = ["snapshot_ts", "received_at", "clock", "source", *LEVELS]


class NotKnownYetError(OperatorError):
    """The time that was asked for is later than what is known."""


class Book(NamedTuple):
    ticker: str
    at: datetime
    based_on: datetime  # the snapshot's time
    source: str
    changes: int  # since
    levels: Levels
    knowledge: Knowledge

    def bids(self, yes_side: bool) -> list[tuple[int, int]]:
        """Price and size, the best first."""
        return sorted(((price, size) for (side, price), size in self.levels.items() if side is yes_side), reverse=True)


@storage_errors("A book out of the lake")
def book_at(lake: Lake, ticker: str, at: datetime, knowledge: Knowledge | None = None) -> Book:
    """Return the book at a time. The lake alone does not know of holes; production does, whose word may be given."""
    knowledge = knowledge or Knowledge("unknown", lake.recorded_until())
    if knowledge.known_until and at > knowledge.known_until:
        raise NotKnownYetError(
            f"Of {ticker} nothing is known of {at.isoformat()} yet.",
            f"It is known until {knowledge.known_until.isoformat()}.",
            "ask for that time or an earlier one.",
        )
    record = _Market(lake, ticker)
    found = record.undisputed_book(at) or recorded_book(record, at)
    if found is None:
        raise OperatorError(
            f"The lake has no book of {ticker} at {at.isoformat()}.",
            f"There is no snapshot of it in the {LOOK_BACK_DAYS} days before.",
            "check the ticker; the hours of that time may not be exported yet.",
        )
    return Book(ticker, at, found.based_on, found.source, found.changes, found.levels, knowledge)


class _Market:
    """What the lake has of one market."""

    def __init__(self, lake: Lake, ticker: str) -> None:
        self._lake = lake
        self._ticker = ticker

    def undisputed_book(self, at: datetime) -> RecordedBook | None:
        """Return the book without a look at the order of changes, where it cannot matter when clocks began anew: nearly
        always. None: it matters, or the snapshot is in doubt, or there is none."""
        base = self.last_snapshot(at)
        if base is None or base.clock < 0:
            return None
        found = self._changes(base.snapshot_ts - LATEST_STAMP, at)
        is_after, clock = pc.field("exchange_ts") > base.snapshot_ts, pc.field("clock")
        after = found.filter(is_after)
        is_of_older_clocks = pc.field("ts_missing") & (pc.field("received_at") < base.received_at)
        if after.filter((clock >= 0) & ((clock <= base.clock) | is_of_older_clocks)).num_rows:
            return None
        lacking = lacking_for_certain(base, _changes_of(found.filter(~is_after)))
        if lacking is None:
            return None
        totals = after.group_by(LEVEL).aggregate([("delta_e2", "sum")])
        deltas = list(zip(*(totals[name].to_pylist() for name in (*LEVEL, "delta_e2_sum")), strict=True))
        deltas += [(change.yes_side, change.price_e6, change.delta_e2) for change in lacking]
        levels = apply_deltas(base.levels, deltas)
        return RecordedBook(base.snapshot_ts, base.source, after.num_rows + len(lacking), levels)

    def last_snapshot(self, until: datetime) -> Snapshot | None:
        clockless = None
        for day in (day_of(until) - number * DAY for number in range(LOOK_BACK_DAYS)):
            found = self._snapshots(day, until)
            if with_clock := [row for row in found if row["clock"] >= 0]:
                return _snapshot(with_clock[-1])
            clockless = clockless or (_snapshot(found[-1]) if found else None)
        return clockless

    def changes(self, after: datetime, until: datetime) -> list[Change]:
        return _changes_of(self._changes(after, until))

    def _snapshots(self, day: datetime, until: datetime) -> list[dict[str, Any]]:
        stamp = pc.field("snapshot_ts")
        wanted = (pc.field("date") == f"{day:%Y-%m-%d}") & (pc.field("ticker") == self._ticker)
        wanted &= (stamp <= until) & pc.field("yes_prices_e6").is_valid()
        rows: list[dict[str, Any]] = (
            self._lake.orderbook_snapshots.to_table(SNAPSHOT_COLUMNS, filter=wanted).sort_by("snapshot_ts").to_pylist()
        )
        return rows

    def _changes(self, after: datetime, until: datetime) -> pa.Table:
        stamp = pc.field("exchange_ts")
        dates = sorted({f"{hour:%Y-%m-%d}" for hour in hours_between(after, until + HOUR)})
        wanted = (pc.field("ticker") == self._ticker) & (stamp > after) & (stamp <= until)
        return self._lake.orderbook_deltas.to_table(list(Change._fields), filter=pc.field("date").isin(dates) & wanted)


def _changes_of(table: pa.Table) -> list[Change]:
    columns = table.select(Change._fields)
    return [Change(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def _snapshot(row: dict[str, Any]) -> Snapshot:
    levels = dict(_levels(True, row["yes_prices_e6"], row["yes_sizes_e2"]))
    levels |= dict(_levels(False, row["no_prices_e6"], row["no_sizes_e2"]))
    return Snapshot(row["snapshot_ts"], row["received_at"], row["clock"], row["source"], levels)


def _levels(yes_side: bool, prices_e6: list[int], sizes_e2: list[int]) -> Iterator[tuple[tuple[bool, int], int]]:
    return (((yes_side, price_e6), size_e2) for price_e6, size_e2 in zip(prices_e6, sizes_e2, strict=True))
