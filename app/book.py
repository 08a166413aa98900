"""An order book as plain arithmetic: bids of both sides, in integers."""

from collections.abc import Iterable, Mapping

Levels = dict[tuple[bool, int], int]  # (yes_side, price_e6) to size_e2


def apply_deltas(book: Mapping[tuple[bool, int], int], deltas: Iterable[tuple[bool, int, int]]) -> Levels:
    """The book after the changes (yes_side, price_e6, delta_e2); levels that nobody stands at any more are gone."""
    after = dict(book)
    for yes_side, price_e6, delta_e2 in deltas:
        level = (yes_side, price_e6)
        after[level] = after.get(level, 0) + delta_e2
    return {level: size_e2 for level, size_e2 in after.items() if size_e2 > 0}
