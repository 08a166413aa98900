"""Put the events of one market in order: book changes and trades, with a reset of the book at every hole.

Events come hour by hour. A change has the size of its level afterwards. A NO bid is an ask of the YES book, at a dollar
less its price. At any time the book that follows from the events is the one that `Lake.replay` gives.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.books import Sizes, disputed_changes, sizes_of
from kalshi_data.exports.rows import Changes, EventRows, TradeRow
from kalshi_data.files import LakeFiles
from kalshi_data.lake_rows import LakeRecord
from kalshi_data.layout import HOUR, TRADES, day_of, hours_between
from kalshi_data.order_book import (
    LATEST_STAMP,
    BookChange,
    BookSnapshot,
    apply_deltas,
    lacking_for_certain,
    recorded_book,
    recorded_changes,
)
from kalshi_data.times import MICROSECOND, Interval, Intervals, us_of

CHANGE_COLUMNS = ("exchange_ts", "received_at", "clock", "ts_missing", "yes_side", "price_e6", "delta_e2", "nth")
TRADE_COLUMNS = ["exchange_ts", "received_at", "size_e2", "yes_price_e6", "taker_yes", "is_block_trade", "from_rest"]


class EventOrder(IntEnum):
    """The order of what happens in the same microsecond. Trades come before the changes that they cause."""

    DAY = 0
    TRADE = 1
    HOLE = 2
    CHANGE = 3
    SNAPSHOT = 4
    HOLE_END = 5


class Mark(NamedTuple):
    """Something other than a change."""

    at_us: int
    order: EventOrder
    trade: TradeRow | None = None
    book: Sizes | None = None  # of a snapshot: the book at its time


class MarketEvents:
    """The events of a market in a period."""

    def __init__(self, files: LakeFiles, ticker: str, holes: Intervals, period: Interval) -> None:
        self._files = files
        self._record = LakeRecord(files, ticker)
        self._holes = holes
        self._period = period
        self._sizes: Sizes | None = None  # None: no book is recorded yet
        self._base: BookSnapshot | None = None
        # Whether the book is the last snapshot and the changes after it, whatever their order.
        self._is_undisputed = False
        self._is_in_hole = False
        self._rows = EventRows(us_of(period[0]))

    def hours(self) -> Iterator[tuple[datetime, pa.Table]]:
        """Yield the beginning of each hour with its events. Hours without events are left out."""
        self._begin(self._period[0] - MICROSECOND)
        for hour in hours_between(*self._period):
            since, until = max(hour, self._period[0]), min(hour + HOUR, self._period[1])
            changes, marks = self._books(since, until)
            marks += [*self._days(since, until), *self._hole_marks(since, until), *self._trades(since, until)]
            self._merge(changes, sorted(marks, key=lambda mark: mark[:2]))
            if len(self._rows):
                yield hour, self._rows.take()

    def _begin(self, at: datetime) -> None:
        found = self._record.undisputed_book(at)
        self._is_undisputed = found is not None
        self._base = self._record.last_snapshot(at)
        found = found or recorded_book(self._record, at)
        self._sizes = sizes_of(found.levels) if found else None

    def _books(self, since: datetime, until: datetime) -> tuple[Changes, list[Mark]]:
        """Return the changes of the hour, and the books at its snapshots."""
        table = self._record.changes_table(since - LATEST_STAMP, until - MICROSECOND, CHANGE_COLUMNS)
        snapshots = [each for each in self._record.snapshots(since, until - MICROSECOND) if each.is_of_stream]
        ends = [each.snapshot_ts for each in snapshots] + [until - MICROSECOND]
        changes, marks = Changes(), list[Mark]()
        marks += self._between(table, since - MICROSECOND, ends[0], changes)
        for snapshot, end in zip(snapshots, ends[1:], strict=True):
            marks.append(self._mark_of(snapshot, table))
            marks += self._between(table, snapshot.snapshot_ts, end, changes)
        return changes, marks

    def _mark_of(self, snapshot: BookSnapshot, table: pa.Table) -> Mark:
        """Go on from a snapshot, and return the book at its time."""
        stamp = pc.field("exchange_ts")
        before = table.filter((stamp > snapshot.snapshot_ts - LATEST_STAMP) & (stamp <= snapshot.snapshot_ts))
        names = BookChange._fields
        rows = [BookChange(*row) for row in zip(*(before[name].to_pylist() for name in names), strict=True)]
        lacking = lacking_for_certain(snapshot, rows)
        self._base, self._is_undisputed = snapshot, lacking is not None
        if lacking is not None:
            levels = apply_deltas(snapshot.levels, [(each.yes_side, each.price_e6, each.delta_e2) for each in lacking])
        else:
            found = recorded_book(self._record, snapshot.snapshot_ts)
            levels = found.levels if found else snapshot.levels
        return Mark(us_of(snapshot.snapshot_ts), EventOrder.SNAPSHOT, book=sizes_of(levels))

    def _between(self, table: pa.Table, after: datetime, until: datetime, changes: Changes) -> Iterator[Mark]:
        """Add the changes between two snapshots. Yield the books that the rule of order_book.py gives in between."""
        if after >= until:
            return
        stamp = pc.field("exchange_ts")
        found = table.filter((stamp > after) & (stamp <= until))
        if self._is_undisputed and self._base is not None and not disputed_changes(found, self._base).num_rows:
            changes.add_table(found)
            return
        self._is_undisputed = False
        yield from self._disputed(after, until, changes)

    def _disputed(self, after: datetime, until: datetime, changes: Changes) -> Iterator[Mark]:
        found = recorded_changes(self._record, until)
        if found is None:
            return
        base, applied = found
        if base.snapshot_ts > after:
            yield from self._disputed(after, base.snapshot_ts - MICROSECOND, changes)
            after = base.snapshot_ts
        before = [each for each in applied if each.exchange_ts <= after]
        levels = apply_deltas(base.levels, [(each.yes_side, each.price_e6, each.delta_e2) for each in before])
        yield Mark(us_of(after), EventOrder.SNAPSHOT, book=sizes_of(levels))
        changes.add_rows(each for each in applied if each.exchange_ts > after)

    def _days(self, since: datetime, until: datetime) -> Iterator[Mark]:
        """Yield the times at which the whole book is repeated: the start, and every midnight."""
        for moment in {self._period[0], day_of(until - MICROSECOND)}:
            if since <= moment < until:
                yield Mark(us_of(moment), EventOrder.DAY)

    def _hole_marks(self, since: datetime, until: datetime) -> Iterator[Mark]:
        for hole in self._holes:
            for moment, order in zip(hole, (EventOrder.HOLE, EventOrder.HOLE_END), strict=True):
                if since <= moment < until:
                    yield Mark(us_of(moment), order)

    def _trades(self, since: datetime, until: datetime) -> Iterator[Mark]:
        stamp = pc.field("exchange_ts")
        wanted = (pc.field("ticker") == self._record.ticker) & (stamp >= since) & (stamp < until)
        table = self._files.rows(TRADES, (since, until), [*TRADE_COLUMNS, "trade_id"], wanted)
        ordered = table.sort_by([(name, "ascending") for name in ("exchange_ts", "received_at", "trade_id")])
        rows = zip(*(ordered[name].to_pylist() for name in ordered.column_names), strict=True)
        for exchange_ts, received_at, size_e2, price_e6, taker_yes, is_block, from_rest, trade_id in rows:
            # A trade that was fetched later would have reached a listener when it happened.
            received_us = us_of(exchange_ts if from_rest else received_at)
            trade = TradeRow(received_us, size_e2, price_e6, taker_yes, bool(is_block), trade_id)
            yield Mark(us_of(exchange_ts), EventOrder.TRADE, trade=trade)

    def _merge(self, changes: Changes, marks: list[Mark]) -> None:
        position = 0
        for mark in marks:
            bound_us = mark.at_us + (mark.order > EventOrder.CHANGE)
            end = bisect_left(changes.at_us, bound_us, position)
            self._apply(changes, position, end)
            self._pass(mark)
            position = end
        self._apply(changes, position, len(changes))

    def _apply(self, changes: Changes, start: int, end: int) -> None:
        if self._sizes is None or start == end:
            return
        if not self._is_in_hole:
            self._rows.add_changes(changes, start, end, self._sizes)
            return
        for level, delta_e2 in zip(changes.level[start:end], changes.delta_e2[start:end], strict=True):
            self._sizes[level] = self._sizes.get(level, 0) + delta_e2

    def _pass(self, mark: Mark) -> None:
        if mark.trade is not None:
            self._rows.add_trade(mark.at_us, mark.trade)
            return
        before, is_first = self._shown(), self._sizes is None
        if mark.book is not None:
            self._sizes = mark.book
        if mark.order in {EventOrder.HOLE, EventOrder.HOLE_END}:
            self._is_in_hole = mark.order is EventOrder.HOLE
        after = self._shown()
        is_told = after != before or mark.order is not EventOrder.SNAPSHOT or is_first
        if is_told and not (self._sizes is None or (self._is_in_hole and not before)):
            self._rows.reset(mark.at_us, before, after)

    def _shown(self) -> Sizes:
        """Return the levels that a reader of the export has."""
        if self._sizes is None or self._is_in_hole:
            return {}
        return {level: size_e2 for level, size_e2 in self._sizes.items() if size_e2 > 0}
