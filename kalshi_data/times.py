"""Times as users write them: "2026-11-21", "2026-11-21T15:00Z", dates and datetimes. All of them are UTC."""

import re
from datetime import UTC, date, datetime, timedelta

from kalshi_data.errors import LakeError

Moment = str | date | datetime
Interval = tuple[datetime, datetime]
Intervals = tuple[Interval, ...]  # from and until, the latter exclusive

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
ALWAYS = (EARLIEST, LATEST)
UNITS = {
    "us": MICROSECOND,
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def moment_of(given: Moment) -> datetime:
    """Return the time in UTC. A date means its first moment, and a time without a zone is UTC."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given.strip())
        except ValueError:
            fix = "write it as 2026-11-21 or 2026-11-21T15:00:00Z, or pass a datetime."
            raise LakeError(f"{given!r} is no time.", fix=fix) from None
    if not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day, tzinfo=UTC)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def period_of(start: Moment | None, end: Moment | None) -> Interval:
    """Return the period; None means the beginning or the end of the record."""
    period = (EARLIEST if start is None else moment_of(start), LATEST if end is None else moment_of(end))
    if period[0] >= period[1]:
        raise LakeError(
            "The start is not before the end.",
            f"The start is {period[0].isoformat()}, the end {period[1].isoformat()}.",
            "exchange them; the end itself is not included, so that one day ends where the next one begins.",
        )
    return period


def step_of(every: str | timedelta) -> timedelta:
    """Return the length of a step, such as "1s" or "250ms"."""
    step = every
    if isinstance(step, str):
        found = re.fullmatch(r"(\d+)\s*([a-z]+)", step.strip())
        step = int(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else timedelta()
    if step < MICROSECOND:
        raise LakeError(f"{every!r} is no step in time.", fix=f"write a number and one of {', '.join(UNITS)}.")
    return step


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def overlap(intervals: Intervals, period: Interval) -> Intervals:
    """Return the parts of the intervals that lie in the period."""
    parts = ((max(since, period[0]), min(until, period[1])) for since, until in intervals)
    return tuple((since, until) for since, until in parts if since < until)


def gaps(intervals: Intervals, period: Interval) -> Intervals:
    """Return the parts of the period outside the intervals, which are in order and without overlaps."""
    inside = overlap(intervals, period)
    starts = (period[0], *(until for _, until in inside))
    ends = (*(since for since, _ in inside), period[1])
    return tuple((since, until) for since, until in zip(starts, ends, strict=True) if since < until)


def merged(intervals: list[Interval]) -> Intervals:
    """Return the union of the intervals, in order and without overlaps."""
    found: list[Interval] = []
    for since, until in sorted(intervals):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return tuple(found)
