"""Prices and counts of both wires to integers, and back to text: exactly, never by way of a float, or not at all."""

import re

from app.normal.unfit import UnfitMessageError

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


class Remembered(dict[str, int]):
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


PRICES_E6 = Remembered(6, lowest=0, highest=ONE_DOLLAR_E6, capacity=20_000)
COUNTS_E2 = Remembered(2, lowest=-HIGHEST_COUNT_E2, highest=HIGHEST_COUNT_E2, capacity=50_000)


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
