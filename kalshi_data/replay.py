"""Order books through time, step by step: exactly the book of each moment, in one pass over the changes.

Between two snapshots, Arrow adds up the changes of each level, and Python only puts the sums into a dictionary, step by
step. Where clocks have restarted, every book is made by the rule of order_book.py, which is slower, until the next
snapshot.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import repeat
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.books import Book, MarketRecord, Sizes, changes_of, disputed_changes, level_of, sizes_of
from kalshi_data.coverage import Coverage
from kalshi_data.order_book import (
    LATEST_STAMP,
    BookSnapshot,
    Knowledge,
    lacking_for_certain,
    recorded_book,
)
from kalshi_data.times import MICROSECOND, Interval, us_of

MOST_ADDED_UP = 65_536  # changes at a time: Arrow sorts so few by counting


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
    for snapshot in [each for each in snapshots if each.is_of_stream]:
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
    if base is None:
        yield from _disputed(record, steps, number, end)
        return
    before = changes_of(record.changes_table(base.snapshot_ts - LATEST_STAMP, base.snapshot_ts))
    lacking = lacking_for_certain(base, before)
    if lacking is None:
        yield from _disputed(record, steps, number, end)
        return
    running = _RunningBook(base)
    for change in lacking:
        running.apply(level_of(change.yes_side, change.price_e6), change.delta_e2)
    for until, changes in record.parts(base.snapshot_ts, steps.at(end - 1)):
        stop = min(end, steps.first_from(until + MICROSECOND))
        disputed = disputed_changes(changes, base)
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


class _RunningBook:
    """A book that changes are added to."""

    def __init__(self, base: BookSnapshot) -> None:
        self._base = base
        self._sizes = sizes_of(base.levels)
        self._changes = 0

    def apply(self, level: int, delta_e2: int) -> None:
        self._sizes[level] = self._sizes.get(level, 0) + delta_e2
        self._changes += 1

    def steps(self, changes: pa.Table, steps: Steps, number: int, stop: int) -> Iterator[Numbered]:
        """Apply the changes, and yield the book at each step from `number` to `stop`."""
        book = None
        for step, levels, sizes_e2 in self._touched(_numbered(changes, steps, number)):
            while number < step and number < stop:
                book = book or self.recorded()
                yield number, book
                number += 1
            self._sizes.update(zip(levels, sizes_e2, strict=True))
            self._changes += len(levels)
            book = None
        yield from zip(range(number, stop), repeat(book or self.recorded()))
        self._sizes = {level: size_e2 for level, size_e2 in self._sizes.items() if size_e2}

    def recorded(self) -> StepBook:
        return StepBook(self._base.snapshot_ts, self._base.source, self._changes, dict(self._sizes))

    def _touched(self, changes: pa.Table) -> Iterator[tuple[int, list[int], list[int]]]:
        """Yield each step that has changes, with the level of each change and the level's size after it."""
        for start in range(0, changes.num_rows, MOST_ADDED_UP):
            part = changes.slice(start, MOST_ADDED_UP)
            levels, sizes_e2 = integers_of(part["level"]), integers_of(self._sizes_after(part))
            runs = pc.run_end_encode(part["step"].combine_chunks())
            ends = integers_of(runs.run_ends)
            for step, begin, end in zip(integers_of(runs.values), [0, *ends], ends, strict=False):
                yield step, levels[begin:end], sizes_e2[begin:end]

    def _sizes_after(self, changes: pa.Table) -> pa.Array:
        """Return the size of each change's level after it: level by level, the running sum of its changes."""
        levels = changes["level"].combine_chunks().dictionary_encode()
        by_level = pc.sort_indices(levels.indices)  # stable: the changes of a level stay in their order
        sums = pc.cumulative_sum(changes["delta"].combine_chunks().take(by_level))
        ends = pc.cumulative_sum(pc.value_counts(levels.indices).field("counts"))
        before = pa.concat_arrays([pa.array([0], pa.int64()), sums.take(pc.subtract(ends, 1))])[:-1]
        sizes = pa.array([self._sizes.get(level, 0) for level in integers_of(levels.dictionary)], pa.int64())
        offsets = pc.subtract(sizes, before).take(levels.indices.take(by_level))
        return pc.add(sums, offsets).take(pc.inverse_permutation(by_level.cast(pa.int64())))


def _numbered(changes: pa.Table, steps: Steps, number: int) -> pa.Table:
    """Return step, level and change of its size, in the order of steps."""
    after_us = pc.subtract(changes["exchange_ts"].cast(pa.int64()), us_of(steps.start))
    step_us = steps.step // MICROSECOND
    # Rounded up: a change counts from the first step on that is not before it.
    step = pc.max_element_wise(pc.divide(pc.add(after_us, step_us - 1), step_us), number)
    level = pc.add(pc.multiply(changes["price_e6"].cast(pa.int64()), 2), changes["yes_side"].cast(pa.int64()))
    return pa.table({"step": step, "level": level, "delta": changes["delta_e2"]}).sort_by("step")


def integers_of(column: pa.Array | pa.ChunkedArray) -> list[int]:
    """Return the integers, of which none is null. Arrow's own to_pylist() takes many times as long."""
    found: list[int] = []
    column = column.cast(pa.int64())
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        values = memoryview(chunk.buffers()[1]).cast("q")
        found += values[chunk.offset : chunk.offset + len(chunk)].tolist()
    return found
