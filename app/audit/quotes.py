"""Judge a quote against the book that is rebuilt from recorded changes.

In: a book, the changes of the quote's instant, and the quote: a ticker message states price and size of both best
levels at its own time. Out: the levels at which the book cannot have been what the quote states.

Times are whole milliseconds, and many changes share one. Neither the order of changes within an instant nor the place
of the quote among them is known for certain. So a level that changes within the instant may have any size that some of
its changes lead to: only what is impossible contradicts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from app.audit.pairs import Difference
from app.normalize.values import MILLISECOND_US, ONE_DOLLAR_E6, SECOND_US

# More sizes than this are not counted: then the level may have any size.
MOST_SIZES = 1_000

Sizes = dict[int, int]  # size_e2 by price_e6, without empty levels


class QuoteVerdict(Enum):
    EQUAL = "equal"
    EXPLAINED = "explained"  # they differ, and no gatherer claims to have received everything
    FINDING = "finding"
    INCOMPARABLE = "incomparable"  # the clock restarted, the market is over, or there is no book to compare with
    DOUBTED = "doubted"  # they differ, and what would explain it may still arrive


class AuditQuote(NamedTuple):
    """The best levels that a ticker message states. None: it says nothing about that."""

    at_us: int
    yes_bid_e6: int | None
    yes_bid_size_e2: int | None
    yes_ask_e6: int | None
    yes_ask_size_e2: int | None

    @property
    def end_us(self) -> int:
        """Return the end of the instant in which it was made: a time in whole seconds may be of the older wire, which
        has no finer ones."""
        return self.at_us + (MILLISECOND_US if self.at_us % SECOND_US else SECOND_US)

    @property
    def is_empty(self) -> bool:
        return all(best.is_empty for _, best in self.sides)

    @property
    def sides(self) -> "Iterator[tuple[bool, Best]]":
        """Yield the best bid of each side that it states, YES first."""
        if self.yes_bid_e6 is not None:
            yield True, Best(self.yes_bid_e6, self.yes_bid_size_e2)
        if self.yes_ask_e6 is not None:
            yield False, Best(ONE_DOLLAR_E6 - self.yes_ask_e6, self.yes_ask_size_e2)


class Best(NamedTuple):
    """The best bid of a side. A side without bids is quoted at 0, or with the size 0."""

    price_e6: int
    size_e2: int | None

    @property
    def is_empty(self) -> bool:
        return self.size_e2 == 0 or not 0 < self.price_e6 < ONE_DOLLAR_E6


class Change(NamedTuple):
    """A recorded change of one level."""

    at_us: int
    yes_side: bool
    price_e6: int
    delta_e2: int


class QuotedBook:
    """A book that follows the changes of a market from quote to quote."""

    __slots__ = ("as_of_us", "no", "yes")

    def __init__(self, as_of_us: int, levels: Iterable[tuple[bool, int, int]] = ()) -> None:
        self.as_of_us = as_of_us  # it holds the changes stamped earlier
        self.yes: Sizes = {}
        self.no: Sizes = {}
        for yes_side, price_e6, size_e2 in levels:
            self._change(yes_side, price_e6, size_e2)

    def __len__(self) -> int:
        return len(self.yes) + len(self.no)

    def apply(self, changes: Iterable[Change], as_of_us: int) -> None:
        """Add changes that were stamped before this time."""
        for _, yes_side, price_e6, delta_e2 in changes:
            self._change(yes_side, price_e6, delta_e2)
        self.as_of_us = as_of_us

    def contradictions(self, quote: AuditQuote, moving: Sequence[Change]) -> list[Difference]:
        """Return the levels that cannot have been as the quote has them, whichever of the moving changes it holds."""
        return [
            difference
            for yes_side, best in quote.sides
            for difference in _impossible(
                yes_side,
                best,
                self.yes if yes_side else self.no,
                _by_price(change for change in moving if change.yes_side is yes_side) if moving else {},
            )
        ]

    def _change(self, yes_side: bool, price_e6: int, delta_e2: int) -> None:
        sizes = self.yes if yes_side else self.no
        size_e2 = sizes.get(price_e6, 0) + delta_e2
        if size_e2:
            sizes[price_e6] = size_e2
        else:
            sizes.pop(price_e6, None)


def _by_price(changes: Iterable[Change]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for change in changes:
        found.setdefault(change.price_e6, []).append(change.delta_e2)
    return found


def _impossible(
    yes_side: bool,
    best: Best,
    sizes: Sizes,
    moving: Mapping[int, Sequence[int]],
) -> Iterator[Difference]:
    price_e6 = -1 if best.is_empty else best.price_e6
    for better_e6 in sorted(each for each in {*sizes, *moving} if each > price_e6):
        if not _may_be(0, sizes.get(better_e6, 0), moving.get(better_e6, ())):
            yield Difference(yes_side, better_e6, sizes.get(better_e6, 0), 0)
    if price_e6 < 0:
        return
    size_e2, changes_e2 = sizes.get(price_e6, 0), moving.get(price_e6, ())
    if best.size_e2 is None:  # the older wire states prices alone
        if size_e2 <= 0 and not changes_e2:
            yield Difference(yes_side, price_e6, size_e2, 0)
    elif not _may_be(best.size_e2, size_e2, changes_e2):
        yield Difference(yes_side, price_e6, size_e2, best.size_e2)


def _may_be(wanted_e2: int, size_e2: int, changes_e2: Sequence[int]) -> bool:
    """Return whether some of the changes, in whichever order, make the one size of the other."""
    if wanted_e2 == size_e2:
        return True
    possible = {size_e2}
    for change_e2 in changes_e2:
        possible |= {each + change_e2 for each in possible}
        if wanted_e2 in possible or len(possible) > MOST_SIZES:
            return True
    return False
