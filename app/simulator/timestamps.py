"""The exchange's microseconds as the texts of its wire."""

from datetime import UTC, datetime
from functools import cache, lru_cache

SECOND_US = 1_000_000
DAY_SECONDS = 86_400


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).strftime("%Y-%m-%dT")


@cache  # a day has no more than 86,400 of them
def _time(second: int) -> str:
    return f"{second // 3_600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _second(seconds: int) -> str:
    day, second = divmod(seconds, DAY_SECONDS)
    return _date(day) + _time(second)


def whole_seconds(at_us: int) -> str:
    return _second(at_us // SECOND_US) + "Z"


def milliseconds(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, SECOND_US)
    return f"{_second(seconds)}.{rest_us // 1_000:03d}Z"


def microseconds(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, SECOND_US)
    return f"{_second(seconds)}.{rest_us:06d}Z"
