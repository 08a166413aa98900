"""Order books: the book of a market at a time, by the rule of order_book.py, and how certain it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.errors import MissingBookError
from kalshi_data.layout import HOUR, hour_of
from kalshi_data.order_book import (
    LATEST_STAMP,
    BookChange,
    BookSnapshot,
    Knowledge,
    Levels,
    RecordedBook,
    State,
    apply_deltas,
    lacking_for_certain,
    recorded_book,
)
from kalshi_data.schema import instant
from kalshi_data.times import Interval, Intervals

LOOK_BACK_DAYS = 7
LEVELS = ("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2")
LEVEL = ["yes_side", "price_e6"]
SNAPSHOT_COLUMNS = ["snapshot_ts", "received_at", "clock", "source", *LEVELS]
DOLLAR_E6 = 1_000_000
Side = list[tuple[Decimal, Decimal]]
Sizes = dict[int, int]


@dataclass(frozen=True, slots=True)
class Book:
    """The order book of a market at a time. Prices are dollars, sizes contracts, both exact."""

    ticker: str
    at: datetime
    based_on: datetime  # the snapshot's time; inside a hole of a replay, when the hole began
    source: str  # ws or rest; empty inside a hole of a replay
    changes: int  # since the snapshot
    knowledge: Knowledge
    reset_by: Intervals = ()  # of a replay: the holes since the book before
    sizes: Sizes = field(default_factory=dict, repr=False)  # a level as level_of() has it, to its size

    @property
    def levels(self) -> Levels:
        """Return (is a YES bid, price in millionths of a dollar) to hundredths of a contract."""
        return {(level & 1 == 1, level >> 1): size_e2 for level, size_e2 in self.sizes.items() if size_e2 > 0}

    @property
    def state(self) -> State:
        """Return `complete`, `hole` or `unknown`."""
        return self.knowledge.state

    @property
    def known_until(self) -> datetime | None:
        return self.knowledge.known_until

    @property
    def hole(self) -> Interval | None:
        return self.knowledge.hole

    @property
    def yes_bids(self) -> Side:
        """Return prices and sizes, the best first."""
        return [(_dollars(price_e6), _contracts(size_e2)) for price_e6, size_e2 in self.bids(yes_side=True)]

    @property
    def no_bids(self) -> Side:
        """Return NO prices and sizes, the best first."""
        return [(_dollars(price_e6), _contracts(size_e2)) for price_e6, size_e2 in self.bids(yes_side=False)]

    @property
    def yes_asks(self) -> Side:
        """Return YES prices and sizes, the best first: a bid for NO is an ask for YES at a dollar less its price."""
        bids = self.bids(yes_side=False)
        return [(_dollars(DOLLAR_E6 - price_e6), _contracts(size_e2)) for price_e6, size_e2 in bids]

    def bids(self, yes_side: bool) -> list[tuple[int, int]]:
        """Return prices and sizes of the bids as integers, the best first."""
        return sorted(self._side(yes_side), reverse=True)

    def best_bid(self, yes_side: bool) -> tuple[int, int] | None:
        """Return price and size as integers. Return None if there is no bid."""
        return max(self._side(yes_side), default=None)

    def _side(self, yes_side: bool) -> Iterator[tuple[int, int]]:
        side = int(yes_side)
        return ((level >> 1, size) for level, size in self.sizes.items() if level & 1 == side and size > 0)


def level_of(yes_side: bool, price_e6: int) -> int:
    """Return a level as one number, which is faster to look up than a pair."""
    return price_e6 * 2 + yes_side


def sizes_of(levels: Levels) -> Sizes:
    return {level_of(*level): size_e2 for level, size_e2 in levels.items()}


def _dollars(price_e6: int) -> Decimal:
    return Decimal(price_e6).scaleb(-6)


def _contracts(size_e2: int) -> Decimal:
    return Decimal(size_e2).scaleb(-2)


def book_of(record: "MarketRecord", at: datetime, knowledge: Knowledge) -> Book:
    """Return the book at a time, with what is known of it. Raise MissingBookError if no snapshot precedes it."""
    found = record.undisputed_book(at) or recorded_book(record, at)
    if found is None:
        raise MissingBookError(
            f"The lake has no book of {record.ticker} at {at.isoformat()}.",
            f"There is no snapshot of it in the {LOOK_BACK_DAYS} days before.",
            "check the ticker; the hours of that time may not be exported yet.",
        )
    sizes = sizes_of(found.levels)
    return Book(record.ticker, at, found.based_on, found.source, found.changes, knowledge, sizes=sizes)


class MarketRecord(ABC):
    """The record of one market: its snapshots and changes, wherever they are read."""

    def __init__(self, ticker: str) -> None:
        self.ticker = ticker

    @abstractmethod
    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        """Return the last snapshot of the stream, or the last polled one if there is none of it; None if neither."""

    @abstractmethod
    def snapshots(self, since: datetime, until: datetime) -> list[BookSnapshot]:
        """Return the books that were sent or polled from `since` to `until`, in order."""

    @abstractmethod
    def changes_table(
        self, after: datetime, until: datetime, columns: tuple[str, ...] = BookChange._fields
    ) -> pa.Table:
        """Return the changes stamped later than `after`, up to `until`."""

    def changes(self, after: datetime, until: datetime) -> list[BookChange]:
        return changes_of(self.changes_table(after, until))

    def parts(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, pa.Table]]:
        """Yield the same changes in parts that fit in memory, in order, each with the time that it reaches."""
        while after < until:
            end = min(hour_of(after) + HOUR, until)
            yield end, self.changes_table(after, end)
            after = end

    def undisputed_book(self, at: datetime) -> RecordedBook | None:
        """Return the book without looking at the order of changes. That is nearly always correct, namely if restarts of
        the clock cannot matter. Return None if they may, or if the snapshot is in doubt or missing."""
        base = self.last_snapshot(at)
        if base is None:
            return None
        found = self.changes_table(base.snapshot_ts - LATEST_STAMP, at)
        is_after = pc.greater(found["exchange_ts"], instant(base.snapshot_ts))
        after = found.filter(is_after)
        if disputed_changes(after, base).num_rows:
            return None
        lacking = lacking_for_certain(base, changes_of(found.filter(pc.invert(is_after))))
        if lacking is None:
            return None
        totals = after.group_by(LEVEL).aggregate([("delta_e2", "sum")])
        deltas = list(zip(*(totals[name].to_pylist() for name in (*LEVEL, "delta_e2_sum")), strict=True))
        deltas += [(change.yes_side, change.price_e6, change.delta_e2) for change in lacking]
        levels = apply_deltas(base.levels, deltas)
        return RecordedBook(base.snapshot_ts, base.source, after.num_rows + len(lacking), levels)


def disputed_changes(after: pa.Table, base: BookSnapshot) -> pa.Table:
    """Return the changes after a snapshot that it may hold all the same: clocks may have restarted."""
    clock = after["clock"]
    is_of_older_clocks = pc.and_(after["ts_missing"], pc.less(after["received_at"], instant(base.received_at)))
    may_be_held = pc.or_(pc.less_equal(clock, base.clock), is_of_older_clocks)
    return after.filter(pc.and_(pc.greater_equal(clock, 0), may_be_held))


def changes_of(table: pa.Table) -> list[BookChange]:
    columns = table.select(BookChange._fields)
    return [BookChange(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def snapshot_of(row: dict[str, Any]) -> BookSnapshot:
    """Return the snapshot out of a row with SNAPSHOT_COLUMNS."""
    levels = dict(_levels(True, row["yes_prices_e6"], row["yes_sizes_e2"]))
    levels |= dict(_levels(False, row["no_prices_e6"], row["no_sizes_e2"]))
    return BookSnapshot(row["snapshot_ts"], row["received_at"], row["clock"], row["source"], levels)


def _levels(yes_side: bool, prices_e6: list[int], sizes_e2: list[int]) -> Iterator[tuple[tuple[bool, int], int]]:
    return (((yes_side, price_e6), size_e2) for price_e6, size_e2 in zip(prices_e6, sizes_e2, strict=True))
