"""The exchange's microseconds as the texts of its wire."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=8_192)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def whole_seconds(at_us: int) -> str:
    return _second(at_us // 1_000_000) + "Z"


def milliseconds(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{rest_us // 1_000:03d}Z"


def microseconds(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{rest_us:06d}Z"
