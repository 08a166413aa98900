"""The exchange's times to microseconds since 1970."""

import re
from datetime import UTC, datetime, timedelta

from app.kalshi.wire_types import END_MS, FIRST_MS
from app.normal.unfit import UnfitMessageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MILLISECOND_US = 1_000
SECOND_US = 1_000_000
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339_us(text: str) -> int:
    """Digits past the microsecond are cut off, as the exchange itself does when it shortens a time."""
    match = RFC3339.fullmatch(text)
    if match is None:
        raise UnfitMessageError(f"{text[:50]!r} is no time")
    seconds, fraction, zone = match.groups(default="")
    try:
        moment = datetime.fromisoformat(seconds + zone)
    except ValueError as error:
        raise UnfitMessageError(f"{text[:50]!r} is no time: {error}") from None
    return (moment - EPOCH) // MICROSECOND + int(fraction[:6].ljust(6, "0"))


def exchange_us(ts_ms: int | None, ts: int | str | None) -> int | None:
    """When it happened by the exchange's clock; None when it does not say."""
    if ts_ms is not None:
        return ts_ms * MILLISECOND_US
    if ts is None:
        return None
    moment_us = ts * SECOND_US if isinstance(ts, int) else rfc3339_us(ts)
    if not FIRST_MS <= moment_us // MILLISECOND_US < END_MS:
        raise UnfitMessageError(f"{ts} is a time that cannot be meant")
    return moment_us


def sent_us(sending_ts_ms: int | None, received_us: int) -> int:
    """For what carries no time of its own. The older wire does not even say when a frame was sent."""
    return received_us if sending_ts_ms is None else sending_ts_ms * MILLISECOND_US
