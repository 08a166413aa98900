"""Prices, counts and times of both wires to integers and back to text.

Conversions are exact and never pass through a float; a value that does not fit exactly raises UnfitMessageError.
"""

import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TypeVar

from msgspec import Raw
from msgspec.json import Decoder

from app.kalshi.messages import END_MS, FIRST_MS

# Digests of 64 bits, equal on every host and every version of Python.

# No value in a row is this low.
ABSENT = -(2**63)


def digest64(content: bytes) -> int:
    """Return a digest as a signed integer, to fit a BIGINT."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def digest_of_integers(values: Sequence[int | None]) -> int:
    if None in values:
        values = [ABSENT if value is None else value for value in values]
    return digest64(struct.pack(f"<{len(values)}q", *values))


Shape = TypeVar("Shape")


class UnfitMessageError(ValueError):
    """A message that no row can hold exactly. Nothing is rounded or guessed: the message goes to quarantine."""


def decoded(decoder: Decoder[Shape], content: bytes | Raw) -> Shape:
    try:
        return decoder.decode(content)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnfitMessageError(str(error)) from error


ONE_DOLLAR_E6 = 1_000_000
CENT_E6 = 10_000
CONTRACT_E2 = 100
HIGHEST_COUNT_E2 = 10**17
HIGHEST_MONEY_E6 = 10**18

DECIMAL = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,30}))?")


def scaled(text: str, decimals: int, lowest: int, highest: int) -> int:
    """Return the decimal times ten to the power of `decimals`.

    Further zeros after that are accepted; any other digit there raises UnfitMessageError.
    """
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise UnfitMessageError(f"{text[:50]!r} is not a decimal number")
    whole, fraction = match.groups("")
    if len(fraction) != decimals:
        if fraction[decimals:].strip("0"):
            raise UnfitMessageError(f"{text} has more than {decimals} decimals")
        fraction = fraction[:decimals].ljust(decimals, "0")
    value = int(whole + fraction)
    if not lowest <= value <= highest:
        raise UnfitMessageError(f"{text} is out of bounds")
    return value


class DecimalCache(dict[str, int]):
    """A cache from a decimal's text to its scaled integer, emptied when full. A hit calls no Python function."""

    def __init__(self, decimals: int, lowest: int, highest: int, capacity: int) -> None:
        super().__init__()
        self._decimals = decimals
        self._lowest = lowest
        self._highest = highest
        self._capacity = capacity

    def __missing__(self, text: str) -> int:
        value = scaled(text, self._decimals, self._lowest, self._highest)
        if len(self) >= self._capacity:
            self.clear()
        self[text] = value
        return value


PRICES_E6 = DecimalCache(6, lowest=0, highest=ONE_DOLLAR_E6, capacity=20_000)
COUNTS_E2 = DecimalCache(2, lowest=-HIGHEST_COUNT_E2, highest=HIGHEST_COUNT_E2, capacity=50_000)


def price_e6(dollars: str | None, cents: int | None) -> int | None:
    """Return the price from today's wire, or from the older one. Return None if neither has a price."""
    if dollars is not None:
        return PRICES_E6[dollars] if dollars else None
    return None if cents is None else cents * CENT_E6


def count_e2(fixed_point: str | None, contracts: int | None) -> int | None:
    """Return the count from today's wire, or from the older one. Return None if neither has a count."""
    if fixed_point is not None:
        return COUNTS_E2[fixed_point] if fixed_point else None
    return None if contracts is None else contracts * CONTRACT_E2


def required(value: int | None, what: str) -> int:
    if value is None:
        raise UnfitMessageError(f"it has no {what}")
    return value


def money_e6(dollars: str) -> int:
    """Return an amount of any size, a settlement's for example."""
    return scaled(dollars, 6, lowest=-HIGHEST_MONEY_E6, highest=HIGHEST_MONEY_E6)


def dollars(price_e6: int) -> str:
    """Return the price with all six decimals, as the databases' views show it."""
    return _decimal(price_e6, 6)


def contracts(size_e2: int) -> str:
    return _decimal(size_e2, 2)


def _decimal(value: int, decimals: int) -> str:
    whole, fraction = divmod(abs(value), 10**decimals)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:0{decimals}}"


# The exchange's times to microseconds since 1970.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MILLISECOND_US = 1_000
SECOND_US = 1_000_000
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339_us(text: str) -> int:
    """Return the time in microseconds. Further digits are cut off, as the exchange does when it shortens a time."""
    match = RFC3339.fullmatch(text)
    if match is None:
        raise UnfitMessageError(f"{text[:50]!r} is not a time")
    seconds, fraction, zone = match.groups(default="")
    try:
        moment = datetime.fromisoformat(seconds + zone)
    except ValueError as error:
        raise UnfitMessageError(f"{text[:50]!r} is not a time: {error}") from None
    return (moment - EPOCH) // MICROSECOND + int(fraction[:6].ljust(6, "0"))


def exchange_us(ts_ms: int | None, ts: int | str | None) -> int | None:
    """Return when it happened by the exchange's clock, or None if the message has no time."""
    if ts_ms is not None:
        return ts_ms * MILLISECOND_US
    if ts is None:
        return None
    moment_us = ts * SECOND_US if isinstance(ts, int) else rfc3339_us(ts)
    if not FIRST_MS <= moment_us // MILLISECOND_US < END_MS:
        raise UnfitMessageError(f"{ts} is not a plausible time")
    return moment_us


def sent_us(sending_ts_ms: int | None, received_us: int) -> int:
    """Return when a frame was sent, for messages without a time of their own.

    The older wire does not carry that either: then the time of receipt is returned.
    """
    return received_us if sending_ts_ms is None else sending_ts_ms * MILLISECOND_US


# The origin of rows that arrived by no connection, or without a sequence number.

# seq of a message of the older wire that carries none.
NO_SEQ = -1
# conn, sid and seq of rows from REST.
FROM_REST = (-1, -1, -1)
