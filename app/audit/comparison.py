"""Whether a book, rebuilt from a snapshot and the changes since, is the next snapshot: level by level."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from app.book import Levels


class Verdict(Enum):
    EQUAL = "equal"
    EXPLAINED = "explained"  # they differ, and nobody claims to have heard everything in between
    FINDING = "finding"
    INCOMPARABLE = "incomparable"  # the market's clock began anew in between, or the market is over


class Difference(NamedTuple):
    """A level that stands otherwise than the recorded changes make it."""

    yes_side: bool
    price_e6: int
    rebuilt_e2: int
    seen_e2: int


def levels_of(
    yes_prices_e6: Sequence[int], yes_sizes_e2: Sequence[int], no_prices_e6: Sequence[int], no_sizes_e2: Sequence[int]
) -> Levels:
    sides = ((True, yes_prices_e6, yes_sizes_e2), (False, no_prices_e6, no_sizes_e2))
    return {
        (yes_side, price_e6): size_e2
        for yes_side, prices_e6, sizes_e2 in sides
        for price_e6, size_e2 in zip(prices_e6, sizes_e2, strict=True)
    }


def differences(base: Levels, changes: Iterable[tuple[bool, int, int]], seen: Levels) -> list[Difference]:
    """A level with less than nothing is one too: a change is missing, though an empty level would look the same."""
    rebuilt = dict(base)
    for yes_side, price_e6, delta_e2 in changes:
        rebuilt[yes_side, price_e6] = rebuilt.get((yes_side, price_e6), 0) + delta_e2
    return [
        Difference(*level, rebuilt.get(level, 0), seen.get(level, 0))
        for level in sorted({*rebuilt, *seen})
        if rebuilt.get(level, 0) != seen.get(level, 0)
    ]
