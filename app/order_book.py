"""An order book as plain arithmetic, in integers; and the book of a market at a time, out of what is recorded.

sql/shared/0046_book_at_a_time.sql says the same in SQL, and says why; both are tested by the same rows. Where the order
of changes cannot matter, neither SQL (0060_undisputed_books.sql) nor the lake looks at each.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple, Protocol

Levels = dict[tuple[bool, int], int]  # (yes_side, price_e6) to size_e2
State = Literal["complete", "hole", "unknown"]

# How far a snapshot's stamp may be from those of the changes around it.
LATEST_STAMP = timedelta(minutes=1)
# Changes of one clock happen at once.
AT_ONCE = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
END_OF_CLOCKS = 2**63


class BookChange(NamedTuple):
    exchange_ts: datetime
    received_at: datetime
    clock: int  # -1: it has none
    ts_missing: bool
    yes_side: bool
    price_e6: int
    delta_e2: int


class BookSnapshot(NamedTuple):
    snapshot_ts: datetime
    received_at: datetime
    clock: int  # -1: it has none
    source: str
    levels: Levels


class Knowledge(NamedTuple):
    """Whether the record of a market is complete at a time."""

    state: State
    known_until: datetime | None
    hole: tuple[datetime, datetime] | None = None  # in which that time lies


class Record(Protocol):
    """What is recorded of one market."""

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        """The last one with a clock, else the last one without."""

    def changes(self, after: datetime, until: datetime) -> list[BookChange]:
        """Those stamped after one time and until another."""


class RecordedBook(NamedTuple):
    based_on: datetime
    source: str
    changes: int
    levels: Levels


def recorded_book(record: Record, at: datetime) -> RecordedBook | None:
    """Return the book at a time, or None if there is no snapshot to begin with."""
    base = record.last_snapshot(at)
    if base is None:
        return None
    base = _without_late_ones(record, base)
    changes = [change for change, _ in _changes_since(record, base, at)]
    return RecordedBook(base.snapshot_ts, base.source, len(changes), apply_deltas(base.levels, map(_delta, changes)))


def apply_deltas(book: Mapping[tuple[bool, int], int], deltas: Iterable[tuple[bool, int, int]]) -> Levels:
    """The book after the changes (yes_side, price_e6, delta_e2); levels that nobody stands at any more are gone."""
    return {level: size_e2 for level, size_e2 in added_up(book, deltas).items() if size_e2 > 0}


def added_up(book: Mapping[tuple[bool, int], int], deltas: Iterable[tuple[bool, int, int]]) -> Levels:
    """The same with every level that was touched, also with less than nothing on it."""
    after = dict(book)
    for yes_side, price_e6, delta_e2 in deltas:
        after[yes_side, price_e6] = after.get((yes_side, price_e6), 0) + delta_e2
    return after


def lacking_for_certain(base: BookSnapshot, before: list[BookChange]) -> list[BookChange] | None:
    """Return which changes of the minute before a snapshot it lacks. None: it is in doubt."""
    early = _stamped_too_early(base, before)
    return None if any(change.received_at < base.received_at for change in early) else early


def _stamped_too_early(base: BookSnapshot, changes: list[BookChange]) -> list[BookChange]:
    """Changes of before the snapshot with a higher clock. What happened before one of a lower clock is of older clocks
    for certain."""
    before = [change for change in changes if change.exchange_ts <= base.snapshot_ts and change.clock >= 0]
    held = [each.exchange_ts for each in before if each.clock <= base.clock and not each.ts_missing]
    since = max(held, default=None)
    return [each for each in before if each.clock > base.clock and (since is None or each.exchange_ts >= since)]


def _without_late_ones(record: Record, base: BookSnapshot) -> BookSnapshot:
    """Go back from a snapshot that came late to the one before it, which serves as well.

    One is in doubt that does not hold a change which somebody had received before: either it came late, or clocks have
    begun anew. It came late if it is what one before it had become by its clock.
    """
    if base.clock < 0 or not _is_in_doubt(record, base):
        return base
    last = record.last_snapshot(base.snapshot_ts - MICROSECOND)
    if last is None or last.clock < 0:
        return base
    certain = _without_late_ones(record, last)
    if certain.clock == base.clock and certain.received_at > base.received_at:
        return base  # both hold the same, and what came between the two is known to be lacking in this one
    if _becomes(record, certain, base) or any(_becomes(record, each, base) for each in _before(record, last, base)):
        return certain
    return base


def _before(record: Record, last: BookSnapshot, base: BookSnapshot) -> Iterator[BookSnapshot]:
    """Others that it may be late after, the last one first."""
    while last.snapshot_ts > base.snapshot_ts - LATEST_STAMP:
        earlier = record.last_snapshot(last.snapshot_ts - MICROSECOND)
        if earlier is None or earlier.clock < 0:
            return
        yield earlier
        last = earlier


def _is_in_doubt(record: Record, base: BookSnapshot) -> bool:
    return lacking_for_certain(base, record.changes(base.snapshot_ts - LATEST_STAMP, base.snapshot_ts)) is None


def _becomes(record: Record, earlier: BookSnapshot, later: BookSnapshot) -> bool:
    since = list(_changes_since(record, earlier, later.snapshot_ts + AT_ONCE))
    last_run = max((run for change, run in since if change.exchange_ts <= later.snapshot_ts), default=0)
    held = (_delta(change) for change, run in since if (run, change.clock) <= (last_run, later.clock))
    return _nonzero(added_up(earlier.levels, held)) == later.levels


def _delta(change: BookChange) -> tuple[bool, int, int]:
    return change.yes_side, change.price_e6, change.delta_e2


def _nonzero(levels: Levels) -> Levels:
    return {level: size_e2 for level, size_e2 in levels.items() if size_e2}


def _changes_since(record: Record, base: BookSnapshot, until: datetime) -> Iterator[tuple[BookChange, int]]:
    """Those that come on top of the snapshot, each with how often clocks had begun anew since."""
    changes = record.changes(base.snapshot_ts - LATEST_STAMP, until)
    after = [change for change in changes if change.exchange_ts > base.snapshot_ts]
    yield from ((change, 0) for change in after if change.clock < 0 or base.clock < 0)
    if base.clock < 0:
        return
    lacking = [each for each in _stamped_too_early(base, changes) if each.received_at >= base.received_at]
    yield from ((change, 0) for change in lacking)
    held = [each for each in changes if each.exchange_ts <= base.snapshot_ts and 0 <= each.clock <= base.clock]
    clocked = [change for change in after if change.clock >= 0]
    falls = _falls_of_clock(base, [*held, *lacking, *clocked])
    for change, run in _with_runs(clocked, falls):
        is_newer = change.clock > base.clock or change.exchange_ts > base.snapshot_ts + LATEST_STAMP
        is_of_older_clocks = run < 0 and change.received_at < base.received_at
        if run > 0 or (is_newer and not is_of_older_clocks):
            yield change, run


def _falls_of_clock(base: BookSnapshot, changes: list[BookChange]) -> list[datetime]:
    """When clocks began anew after the snapshot, as changes with a time of their own tell."""
    timed = sorted((change for change in changes if not change.ts_missing), key=attrgetter("exchange_ts", "clock"))
    befores: list[BookChange | None] = [None, *timed]
    return [
        change.exchange_ts
        for before, change in zip(befores, timed, strict=False)
        if change.exchange_ts > base.snapshot_ts and _has_fallen(base, before, change)
    ]


def _has_fallen(base: BookSnapshot, before: BookChange | None, change: BookChange) -> bool:
    if before and before.exchange_ts > base.snapshot_ts:
        return _comes_anew(change, before)
    # One that the snapshot holds may be stamped a bit later, or have come a bit later.
    is_new = change.received_at >= base.received_at and change.exchange_ts > base.snapshot_ts + AT_ONCE
    return is_new and (change.clock <= base.clock or (before is not None and _comes_anew(change, before)))


def _comes_anew(change: BookChange, before: BookChange) -> bool:
    is_later = change.exchange_ts > before.exchange_ts + AT_ONCE
    return change.clock < before.clock or (change.clock == before.clock and is_later)


def _with_runs(clocked: list[BookChange], falls: list[datetime]) -> Iterator[tuple[BookChange, int]]:
    """With how often clocks had fallen when a change happened. One without a time is stamped late, and fits where no
    later change has a lower clock."""
    last_run, least_later = -1, END_OF_CLOCKS
    latest_first = sorted(clocked, key=attrgetter("exchange_ts"), reverse=True)
    for exchange_ts, at_once in groupby(latest_first, attrgetter("exchange_ts")):
        run = bisect_right(falls, exchange_ts)
        if run != last_run:
            last_run, least_later = run, END_OF_CLOCKS
        together = list(at_once)
        for change in together:
            yield change, run - (change.ts_missing and change.clock > least_later)
        least_later = min([least_later, *(change.clock for change in together if not change.ts_missing)])
