"""Sets of moments, as half-open intervals [a, b) of microseconds since 1970, and operations on them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from app.normalize.values import EPOCH, MICROSECOND

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]  # ascending; none is empty, and any two are separated by some time

NEVER: Intervals = ()
# Later than any time in our tables: the end of an interval that has not ended.
END_US = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND


def union(intervals: Iterable[Interval]) -> Intervals:
    """Return the union of any intervals, given in any order."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def intersection(left: Intervals, right: Intervals) -> Intervals:
    common: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            common.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def difference(left: Intervals, right: Intervals) -> Intervals:
    """Return the moments of the first set that are not in the second."""
    return intersection(left, _complement(right))


def _complement(intervals: Intervals) -> Intervals:
    starts = (-END_US, *(end for _, end in intervals))
    ends = (*(start for start, _ in intervals), END_US)
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start < end)


# Conversion between the database's types and ours.


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment_of(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def multirange(intervals: Intervals) -> str:
    ranges = (f"[{moment_of(start).isoformat()},{moment_of(end).isoformat()})" for start, end in intervals)
    return "{" + ",".join(ranges) + "}"
