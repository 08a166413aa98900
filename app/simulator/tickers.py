"""Tickers carry their number in the catalog, so that finding a market by its ticker needs no table."""

import datetime as dt
import re
from functools import lru_cache

from app.simulator.kinds import TOPICS, Kind
from app.simulator.phases import DAY_US

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
POSITION = re.compile(r"-T([1-9][0-9]{0,2})\Z")
DATE_LENGTH = len("26NOV21")


def series_ticker(kind: Kind, topic: int) -> str:
    return kind.prefix + TOPICS[topic].upper()


def event_ticker(series: str, created_us: int, event: int) -> str:
    return f"{series}-{date_code(created_us // DAY_US)}{base36(event)}"


def market_ticker(event: str, position: int) -> str:
    return f"{event}-T{position + 1}"


def event_number(ticker: str) -> int | None:
    """The event that a ticker claims to be, or whose market; whether it is remains to be compared."""
    parts = ticker.split("-")
    code = parts[1][DATE_LENGTH:] if len(parts) in (2, 3) else ""
    # As short as real ones are, for a client may send any text: with six digits there are events for a century.
    return int(code, 36) if code.isascii() and code.isalnum() and len(code) <= 6 else None


def market_position(ticker: str) -> int | None:
    match = POSITION.search(ticker)
    return int(match[1]) - 1 if match else None


@lru_cache(maxsize=1_000)
def date_code(day: int) -> str:
    date = dt.datetime.fromtimestamp(day * 86_400, dt.UTC)
    # Not %b, which follows the locale.
    month = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"[date.month * 3 - 3 : date.month * 3]
    return f"{date.year % 100:02}{month}{date.day:02}"


def base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"
