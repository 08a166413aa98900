"""Prices and counts of both wires to integers, and back to text: exactly, never by way of a float, or not at all."""

import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TypeVar

from msgspec import Raw
from msgspec.json import Decoder

from app.kalshi.messages import END_MS, FIRST_MS

# 64 bits of a content, equal on every host and every version of Python.

# No value of ours is that low.
ABSENT = -(2**63)


def digest64(content: bytes) -> int:
    """Signed, as a BIGINT is."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def digest_of_integers(values: Sequence[int | None]) -> int:
    if None in values:
        values = [ABSENT if value is None else value for value in values]
    return digest64(struct.pack(f"<{len(values)}q", *values))


Shape = TypeVar("Shape")


class UnfitMessageError(ValueError):
    """It says what no row can hold exactly: nothing is rounded or guessed, what was said goes to quarantine."""


def fitting(decoder: Decoder[Shape], content: bytes | Raw) -> Shape:
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
    """The decimal times ten to that power. Zeros beyond it change nothing; any other digit there does not fit."""
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise UnfitMessageError(f"{text[:50]!r} is no decimal")
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
    """Integers by their decimals, of those that came of late. What is there already costs no call of ours."""

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
    """Of today's wire, else of the older one. None: neither says, or it says that there is none."""
    if dollars is not None:
        return PRICES_E6[dollars] if dollars else None
    return None if cents is None else cents * CENT_E6


def count_e2(fixed_point: str | None, contracts: int | None) -> int | None:
    if fixed_point is not None:
        return COUNTS_E2[fixed_point]
    return None if contracts is None else contracts * CONTRACT_E2


def required(value: int | None, what: str) -> int:
    if value is None:
        raise UnfitMessageError(f"it says no {what}")
    return value


def money_e6(dollars: str) -> int:
    """Of any amount, such as a settlement's."""
    return scaled(dollars, 6, lowest=-HIGHEST_MONEY_E6, highest=HIGHEST_MONEY_E6)


def dollars(price_e6: int) -> str:
    """Return it as the views of the databases show it: all six decimals."""
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


# Where a row came in, for what came in by no connection or carried no number.

# A message of the older wire that carries no seq.
NO_SEQ = -1
# conn, sid and seq of what REST answered.
FROM_REST = (-1, -1, -1)
