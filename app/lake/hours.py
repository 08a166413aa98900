"""Hours and days as the lake's folders name them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    return hour_of(moment).replace(hour=0)


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """Every hour that has a moment from start on and before end."""
    hour = hour_of(start)
    while hour < end:
        yield hour
        hour += HOUR


def hour_folder(hour: datetime) -> str:
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}"
