"""The objects that the catalog lists: markets in events in series, and their tickers.

Times are microseconds since 1970; 0 if the event never occurs.
"""

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple

from app.simulator.market.kinds import DAY_US, TOPICS, Kind
from app.simulator.market.prices import PriceRange


class SimLeg(NamedTuple):
    event_ticker: str
    market_ticker: str
    side: str


class SimMarket(NamedTuple):
    number: int  # in the catalog
    position: int  # in its event
    event: int  # the event's number in the catalog
    ticker: str
    market_id: str
    event_ticker: str
    series_ticker: str
    title: str
    yes_sub_title: str
    no_sub_title: str
    is_combo: bool
    exchange_index: int
    created_us: int
    updated_us: int  # time of the last turn; trading does not count
    open_us: int
    close_us: int
    determined_us: int
    settled_us: int
    result: str  # yes, no; empty before it is known
    floor_strike: int
    price_level_structure: str
    price_ranges: tuple[PriceRange, ...]
    legs: tuple[SimLeg, ...]
    collection_ticker: str  # of combos


class SimEvent(NamedTuple):
    number: int  # in the catalog
    ticker: str
    series: int
    series_ticker: str
    title: str
    sub_title: str
    category: str
    is_combo: bool
    mutually_exclusive: bool
    collateral_return_type: str
    exchange_index: int
    created_us: int
    updated_us: int
    fee_type_override: str | None
    fee_multiplier_override: int | None
    first_market: int
    market_count: int
    collection_ticker: str


class SimSeries(NamedTuple):
    number: int  # in the catalog
    ticker: str
    title: str
    category: str
    frequency: str
    tags: tuple[str, ...]
    is_combo: bool
    exchange_index: int
    fee_type: str
    fee_multiplier: int


# Tickers contain their number in the catalog, so that finding a market by its ticker needs no table.

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
    """Return the number that the ticker of an event or market contains, or None.

    The ticker may still be wrong: the caller compares it with the real one.
    """
    parts = ticker.split("-")
    code = parts[1][DATE_LENGTH:] if len(parts) in (2, 3) else ""
    # Bounded, since a client may send any text: six digits suffice for a century of events.
    return int(code, 36) if code.isascii() and code.isalnum() and len(code) <= 6 else None


def market_position(ticker: str) -> int | None:
    """Return the position that a market's ticker contains, or None."""
    match = POSITION.search(ticker)
    return int(match[1]) - 1 if match else None


@lru_cache(maxsize=1_000)
def date_code(day: int) -> str:
    date = dt.datetime.fromtimestamp(day * 86_400, dt.UTC)
    # Not %b, which depends on the locale.
    month = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"[date.month * 3 - 3 : date.month * 3]
    return f"{date.year % 100:02}{month}{date.day:02}"


def base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"
