"""Moments and sets of them between the database's types and ours."""

from datetime import datetime, timedelta

from app.coverage.intervals import Intervals
from app.normal.times import EPOCH, MICROSECOND


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment_of(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def multirange(intervals: Intervals) -> str:
    ranges = (f"[{moment_of(start).isoformat()},{moment_of(end).isoformat()})" for start, end in intervals)
    return "{" + ",".join(ranges) + "}"
