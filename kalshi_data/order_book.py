"""An order book as plain arithmetic in integers, and the book of a market at a time from its recorded rows.

sql/shared/0046_book_at_a_time.sql implements the same in SQL and gives the reasons; both are tested with the same rows
(without_late_ones() is now in 0057_books_after_an_outage.sql, last_snapshot() in 0058_books_without_clocks.sql).
If the order of changes cannot matter, neither SQL (0060_undisputed_books.sql) nor the lake looks at each change.

A snapshot with a clock holds the changes up to that clock, within one run of the market's clocks: after an outage or a
maintenance of the exchange, clocks may restart at small numbers. No message announces this; it follows from the rows.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Literal, NamedTuple, Protocol

from kalshi_data.times import MICROSECOND

Levels = dict[tuple[bool, int], int]  # (yes_side, price_e6) to size_e2
State = Literal["complete", "hole", "unknown"]

# The largest distance between a snapshot's timestamp and the timestamps of the changes around it.
LATEST_STAMP = timedelta(minutes=1)
# Changes with the same clock happen within this time.
AT_ONCE = timedelta(seconds=1)
END_OF_CLOCKS = 2**63


class BookChange(NamedTuple):
    exchange_ts: datetime
    received_at: datetime
    clock: int  # -1 if it has none
    ts_missing: bool
    yes_side: bool
    price_e6: int
    delta_e2: int


class BookSnapshot(NamedTuple):
    snapshot_ts: datetime
    received_at: datetime
    clock: int  # -1 if it has none
    source: str  # ws or rest
    levels: Levels

    @property
    def is_of_stream(self) -> bool:
        """Return whether a socket brought it. A polled one may be of any moment of its request."""
        return self.source == "ws"


class Knowledge(NamedTuple):
    """The completeness of a market's record at a time."""

    state: State
    known_until: datetime | None
    hole: tuple[datetime, datetime] | None = None  # contains the time that was asked for


class Record(Protocol):
    """The recorded rows of one market."""

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        """Return the last snapshot of the stream, or the last polled one if there is none of it; None if neither."""

    def changes(self, after: datetime, until: datetime) -> list[BookChange]:
        """Return the changes stamped later than `after`, up to `until`."""


class RecordedBook(NamedTuple):
    based_on: datetime
    source: str
    changes: int
    levels: Levels


def recorded_book(record: Record, at: datetime) -> RecordedBook | None:
    """Return the book at a time, or None if no snapshot precedes it."""
    found = recorded_changes(record, at)
    if found is None:
        return None
    base, changes = found
    return RecordedBook(base.snapshot_ts, base.source, len(changes), apply_deltas(base.levels, map(_delta, changes)))


def recorded_changes(record: Record, at: datetime) -> tuple[BookSnapshot, list[BookChange]] | None:
    """Return the snapshot and the changes that make the book at a time, or None if no snapshot precedes it."""
    base = record.last_snapshot(at)
    if base is None:
        return None
    base = _without_late_ones(record, base)
    return base, [change for change, _ in _changes_since(record, base, at)]


def apply_deltas(book: Mapping[tuple[bool, int], int], deltas: Iterable[tuple[bool, int, int]]) -> Levels:
    """Return the book after the changes (yes_side, price_e6, delta_e2); empty levels are removed."""
    return {level: size_e2 for level, size_e2 in added_up(book, deltas).items() if size_e2 > 0}


def added_up(book: Mapping[tuple[bool, int], int], deltas: Iterable[tuple[bool, int, int]]) -> Levels:
    """Return the book after the changes with every touched level, even if its size is zero or negative."""
    after = dict(book)
    for yes_side, price_e6, delta_e2 in deltas:
        after[yes_side, price_e6] = after.get((yes_side, price_e6), 0) + delta_e2
    return after


def lacking_for_certain(base: BookSnapshot, before: list[BookChange]) -> list[BookChange] | None:
    """Return the changes of the minute before a snapshot that it lacks. Return None if the snapshot is in doubt.

    A snapshot without a clock lacks none: only its time says what it holds.
    """
    if base.clock < 0:
        return []
    early = _stamped_too_early(base, before)
    return None if any(change.received_at < base.received_at for change in early) else early


def _stamped_too_early(base: BookSnapshot, changes: list[BookChange]) -> list[BookChange]:
    """Return the changes stamped before the snapshot that have a higher clock than it.

    A change stamped before one that the snapshot holds belongs to an earlier run of clocks for certain, and is left
    out.
    """
    before = [change for change in changes if change.exchange_ts <= base.snapshot_ts and change.clock >= 0]
    held = [each.exchange_ts for each in before if each.clock <= base.clock and not each.ts_missing]
    since = max(held, default=None)
    return [each for each in before if each.clock > base.clock and (since is None or each.exchange_ts >= since)]


def _without_late_ones(record: Record, base: BookSnapshot) -> BookSnapshot:
    """Return the snapshot before `base` if `base` arrived late, since that one serves as well; otherwise return `base`.

    A snapshot is in doubt if it lacks a change that a gatherer had received before: either the snapshot arrived late,
    or the clocks have restarted. It arrived late if it equals what an earlier snapshot had become by its clock, or if
    it becomes what an earlier snapshot was already: after an outage, the first one may come from the slower connection.
    """
    if not _is_in_doubt(record, base):
        return base
    last = record.last_snapshot(base.snapshot_ts - MICROSECOND)
    if last is None or last.clock < 0:
        return base
    certain = _without_late_ones(record, last)
    if certain.clock == base.clock and certain.received_at > base.received_at:
        # If both hold the same, what arrived between the two is lacking in both.
        certain = certain._replace(received_at=base.received_at)
    earlier = chain([certain, last], _before(record, last, base))
    is_late = any(_becomes(record, each, base) or _is_behind(record, base, each) for each in earlier)
    return certain if is_late else base


def _before(record: Record, last: BookSnapshot, base: BookSnapshot) -> Iterator[BookSnapshot]:
    """Yield the snapshots before `last`, latest first: `base` may be late with respect to any of them."""
    while last.snapshot_ts > base.snapshot_ts - LATEST_STAMP:
        earlier = record.last_snapshot(last.snapshot_ts - MICROSECOND)
        if earlier is None or earlier.clock < 0:
            return
        yield earlier
        last = earlier


def _is_in_doubt(record: Record, base: BookSnapshot) -> bool:
    return lacking_for_certain(base, record.changes(base.snapshot_ts - LATEST_STAMP, base.snapshot_ts)) is None


def _becomes(record: Record, earlier: BookSnapshot, later: BookSnapshot) -> bool:
    """Return whether the later snapshot equals the earlier one with the changes up to the later one's clock applied."""
    since = list(_changes_since(record, earlier, later.snapshot_ts + AT_ONCE))
    last_run = max((run for change, run in since if change.exchange_ts <= later.snapshot_ts), default=0)
    if last_run == 0 and later.clock < earlier.clock:
        return False  # clocks fell in between: that the books are the same is a coincidence
    held = (_delta(change) for change, run in since if (run, change.clock) <= (last_run, later.clock))
    return _nonzero(added_up(earlier.levels, held)) == later.levels


def _is_behind(record: Record, late: BookSnapshot, earlier: BookSnapshot) -> bool:
    """Return whether the earlier snapshot equals the late one with the changes applied that lie between their clocks.

    Without such a change nothing is known: a book may be the same after a restart of clocks.
    """
    if earlier.clock <= late.clock:
        return False
    since = [change for change, _ in _changes_since(record, late, earlier.snapshot_ts + AT_ONCE)]
    between = [_delta(change) for change in since if 0 <= change.clock <= earlier.clock]
    return bool(between) and _nonzero(added_up(late.levels, between)) == earlier.levels


def _delta(change: BookChange) -> tuple[bool, int, int]:
    return change.yes_side, change.price_e6, change.delta_e2


def _nonzero(levels: Levels) -> Levels:
    return {level: size_e2 for level, size_e2 in levels.items() if size_e2}


def _changes_since(record: Record, base: BookSnapshot, until: datetime) -> Iterator[tuple[BookChange, int]]:
    """Yield the changes to apply to the snapshot, each with the number of clock restarts since the snapshot."""
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
    """Return when clocks restarted after the snapshot, judged by the changes that carry a time of their own."""
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
    # A change that the snapshot holds may be stamped, or received, a little after it.
    is_new = change.received_at >= base.received_at and change.exchange_ts > base.snapshot_ts + AT_ONCE
    return is_new and (change.clock <= base.clock or (before is not None and _comes_anew(change, before)))


def _comes_anew(change: BookChange, before: BookChange) -> bool:
    """Return whether clocks restarted between the two changes."""
    is_later = change.exchange_ts > before.exchange_ts + AT_ONCE
    return change.clock < before.clock or (change.clock == before.clock and is_later)


def _with_runs(clocked: list[BookChange], falls: list[datetime]) -> Iterator[tuple[BookChange, int]]:
    """Yield each change with the number of clock restarts before it happened.

    A change without a time of its own is stamped late: if a later change of its run has a lower clock, it belongs to
    the run before.
    """
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
