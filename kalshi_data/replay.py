"""Order books through time, step by step: exactly the book of each moment, in one pass over the changes.

Between two snapshots, changes are added up per step by Arrow; only these sums are applied in Python. Where clocks have
restarted, every book is made by the rule of order_book.py, which is slower, until the next snapshot.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.books import Book, MarketRecord, Sizes, changes_of, is_disputed, level_of, sizes_of
from kalshi_data.coverage import Coverage
from kalshi_data.layout import HOUR, hour_of
from kalshi_data.order_book import (
    LATEST_STAMP,
    BookSnapshot,
    Knowledge,
    lacking_for_certain,
    recorded_book,
)
from kalshi_data.times import MICROSECOND, Interval, us_of

COLUMNS = ("exchange_ts", "received_at", "clock", "ts_missing", "yes_side", "price_e6", "delta_e2")


class StepBook(NamedTuple):
    """A book as recorded, whatever holes there are."""

    based_on: datetime
    source: str
    changes: int
    sizes: Sizes


Numbered = tuple[int, StepBook | None]


class Steps(NamedTuple):
    """The moments of a replay: start, start + step, and so on, before the end."""

    start: datetime
    step: timedelta
    total: int

    @classmethod
    def of(cls, period: Interval, step: timedelta) -> "Steps":
        return cls(period[0], step, -((period[0] - period[1]) // step))

    def at(self, number: int) -> datetime:
        return self.start + number * self.step

    def first_from(self, moment: datetime) -> int:
        """Return the number of the first step that is not before the moment."""
        return min(max(0, -((self.start - moment) // self.step)), self.total)


def replay(record: MarketRecord, coverage: Coverage, steps: Steps) -> Iterator[Book]:
    """Yield the book of each step for which there is one. Inside a hole the book is empty, its state is `hole`, and
    `reset_by` of the first book after holes names them."""
    hole_number, holes = 0, coverage.holes
    # Most books of most periods: this spares a look at the coverage for each.
    is_certain = coverage.known_until is not None and not coverage.unknown and not coverage.closed
    certain = Knowledge("complete", coverage.known_until) if is_certain else None
    coverage_end = coverage.known_until or steps.start
    passed: list[Interval] = []
    for number, found in _recorded(record, steps):
        at = steps.at(number)
        while hole_number < len(holes) and holes[hole_number][0] <= at:
            passed.append(holes[hole_number])
            hole_number += 1
        inside = passed[-1] if passed and at < passed[-1][1] else None
        if inside:
            knowledge = Knowledge("hole", coverage.known_until, inside)
            yield Book(record.ticker, at, inside[0], "", 0, knowledge, tuple(passed))
            passed = [inside]
        elif found is not None:
            knowledge = certain if certain and at <= coverage_end else coverage.at(at)
            based_on, source, changes, sizes = found
            yield Book(record.ticker, at, based_on, source, changes, knowledge, tuple(passed), sizes)
            passed = []


def _recorded(record: MarketRecord, steps: Steps) -> Iterator[Numbered]:
    """Yield the number of each step with its book as recorded, whatever holes there are. None: there is no book yet."""
    snapshots = record.snapshots(steps.start + MICROSECOND, steps.at(steps.total - 1))
    base = record.last_snapshot(steps.start)
    number = 0
    if base is None:
        first = steps.first_from(snapshots[0].snapshot_ts) if snapshots else steps.total
        yield from ((each, None) for each in range(first))
        number = first
    for snapshot in [each for each in snapshots if each.clock >= 0]:
        end = steps.first_from(snapshot.snapshot_ts)
        yield from _between(record, base, steps, number, end)
        base, number = snapshot, max(number, end)
    yield from _between(record, base, steps, number, steps.total)


def _between(
    record: MarketRecord, base: BookSnapshot | None, steps: Steps, number: int, end: int
) -> Iterator[Numbered]:
    """Yield the steps from `number` to `end`, all of which follow the snapshot and precede the next one."""
    if number >= end:
        return
    if base is None or base.clock < 0:
        yield from _disputed(record, steps, number, end)
        return
    before = changes_of(record.changes_table(base.snapshot_ts - LATEST_STAMP, base.snapshot_ts))
    lacking = lacking_for_certain(base, before)
    if lacking is None:
        yield from _disputed(record, steps, number, end)
        return
    running = _RunningBook(base)
    for change in lacking:
        running.apply(level_of(change.yes_side, change.price_e6), change.delta_e2, 1)
    for since, until in _hours(base.snapshot_ts, steps.at(end - 1)):
        changes = record.changes_table(since, until, COLUMNS)
        stop = min(end, steps.first_from(until + MICROSECOND))
        disputed = changes.filter(is_disputed(base))
        if disputed.num_rows:
            stop = min(stop, max(number, steps.first_from(pc.min(disputed["exchange_ts"]).as_py())))
        yield from running.steps(changes, steps, number, stop)
        number = max(number, stop)
        if disputed.num_rows:
            yield from _disputed(record, steps, number, end)
            return
    # Steps at the very moment of the snapshot, if no other follow.
    yield from ((each, running.recorded()) for each in range(number, end))


def _disputed(record: MarketRecord, steps: Steps, number: int, end: int) -> Iterator[Numbered]:
    for each in range(number, end):
        found = recorded_book(record, steps.at(each))
        yield each, found and StepBook(found.based_on, found.source, found.changes, sizes_of(found.levels))


def _hours(after: datetime, until: datetime) -> Iterator[Interval]:
    """Yield the parts of the time, hour by hour: after the first moment, up to and including the second."""
    while after < until:
        end = min(hour_of(after) + HOUR, until)
        yield after, end
        after = end


class _RunningBook:
    """A book that changes are added to."""

    def __init__(self, base: BookSnapshot) -> None:
        self._base = base
        self._sizes = sizes_of(base.levels)
        self._changes = 0

    def apply(self, level: int, delta_e2: int, changes: int) -> None:
        size_e2 = self._sizes.get(level, 0) + delta_e2
        if size_e2:
            self._sizes[level] = size_e2
        else:
            self._sizes.pop(level, None)
        self._changes += changes

    def steps(self, changes: pa.Table, steps: Steps, number: int, stop: int) -> Iterator[Numbered]:
        """Apply the changes, and yield the book at each step from `number` to `stop`."""
        sums = iter(_sums(changes, steps, number))
        waiting = next(sums, None)
        for each in range(number, stop):
            while waiting is not None and waiting[0] <= each:
                self.apply(*waiting[1:])
                waiting = next(sums, None)
            yield each, self.recorded()
        while waiting is not None:
            self.apply(*waiting[1:])
            waiting = next(sums, None)

    def recorded(self) -> StepBook:
        return StepBook(self._base.snapshot_ts, self._base.source, self._changes, dict(self._sizes))


def _sums(changes: pa.Table, steps: Steps, number: int) -> Iterator[tuple[int, int, int, int]]:
    """Return step, level, change of its size and number of changes, in the order of steps."""
    after_us = pc.subtract(changes["exchange_ts"].cast(pa.int64()), us_of(steps.start))
    step_us = steps.step // MICROSECOND
    # Rounded up: a change counts from the first step on that is not before it.
    step = pc.divide(pc.add(after_us, step_us - 1), step_us)
    level = pc.add(pc.multiply(changes["price_e6"].cast(pa.int64()), 2), changes["yes_side"].cast(pa.int64()))
    keyed = pa.table({"step": pc.max_element_wise(step, number), "level": level, "delta": changes["delta_e2"]})
    sums = keyed.group_by(["step", "level"]).aggregate([("delta", "sum"), ("delta", "count")]).sort_by("step")
    return zip(*(integers_of(sums[name]) for name in ("step", "level", "delta_sum", "delta_count")), strict=True)


def integers_of(column: pa.ChunkedArray) -> list[int]:
    """Return the integers, of which none is null. Arrow's own to_pylist() takes many times as long."""
    found: list[int] = []
    for chunk in column.cast(pa.int64()).chunks:
        values = memoryview(chunk.buffers()[1]).cast("q")
        found += values[chunk.offset : chunk.offset + len(chunk)].tolist()
    return found
