"""A market with activity: its book by side, and the figures of its ticker."""

from bisect import bisect_left, insort

from app.simulator.market.changes import SimBook, SimTicker
from app.simulator.market.prices import DOLLAR_E6

# The last trade's price and size (0: never traded), volume, open interest, and dollars traded (in 1e-8).
Figures = tuple[int, int, int, int, int]


class Side:
    """The bids for one outcome: the size at each price, and the prices in ascending order."""

    __slots__ = ("prices", "sizes")

    def __init__(self, levels: list[tuple[int, int]]) -> None:
        self.sizes = dict(levels)
        self.prices = sorted(self.sizes)

    def change(self, price_e6: int, delta_e2: int) -> None:
        size_e2 = self.sizes.get(price_e6, 0)
        if not size_e2:
            insort(self.prices, price_e6)
        if size_e2 + delta_e2:
            self.sizes[price_e6] = size_e2 + delta_e2
        else:
            del self.sizes[price_e6]
            del self.prices[bisect_left(self.prices, price_e6)]

    def levels(self) -> list[tuple[int, int]]:
        return [(price_e6, self.sizes[price_e6]) for price_e6 in self.prices]


NOBODY = (0, 0)
# The best bid of each side: price and size of YES, then price and size of NO.
Top = tuple[int, int, int, int]


class SimLiveMarket:
    """A market with activity: its book and its figures."""

    __slots__ = (
        "clock", "dollars_e8", "index", "last_price_e6", "last_size_e2", "no", "open_interest_e2", "ticks", "top",
        "volume_e2", "yes",
    )  # fmt: skip

    def __init__(self, index: int, ticks: tuple[int, ...], book: SimBook, figures: Figures) -> None:
        self.index = index
        self.ticks = ticks
        self.clock = book.clock
        self.yes = Side(book.yes)
        self.no = Side(book.no)
        self.last_price_e6, self.last_size_e2, self.volume_e2, self.open_interest_e2, self.dollars_e8 = figures
        self.top = self.best()

    def best(self) -> Top:
        """Return the best bid of each side, as price and size; the size is 0 if there is no bid."""
        yes, no = self.yes, self.no
        yes_price_e6 = yes.prices[-1] if yes.prices else 0
        no_price_e6 = no.prices[-1] if no.prices else 0
        return yes_price_e6, yes.sizes.get(yes_price_e6, 0), no_price_e6, no.sizes.get(no_price_e6, 0)

    def ticker(self, at_us: int) -> SimTicker:
        """Return the ticker message of now, and remember its quotes as published."""
        self.top = self.best()
        return ticker(at_us, self.index, self.top, self.figures)

    def empty(self, clock: int) -> None:
        """Remove every order without a change, as the exchange does at a close."""
        self.clock, self.yes, self.no = clock, Side([]), Side([])
        self.top = self.best()

    @property
    def figures(self) -> Figures:
        return self.last_price_e6, self.last_size_e2, self.volume_e2, self.open_interest_e2, self.dollars_e8

    def book(self) -> SimBook:
        return SimBook(self.clock, self.yes.levels(), self.no.levels())


def ticker(at_us: int, index: int, top: Top, figures: Figures) -> SimTicker:
    yes_price_e6, yes_size_e2, no_price_e6, no_size_e2 = top
    last_price_e6, last_size_e2, volume_e2, open_interest_e2, dollars_e8 = figures
    return SimTicker(
        at_us,
        index,
        last_price_e6 or None,
        yes_price_e6,
        DOLLAR_E6 - no_price_e6,
        yes_size_e2,
        no_size_e2,
        last_size_e2,
        volume_e2,
        open_interest_e2,
        dollars_e8 // (DOLLAR_E6 * 100),
        open_interest_e2 // 200,
    )


def top_of(book: SimBook) -> Top:
    """Return the best bids of a book."""
    return (*(book.yes[-1] if book.yes else NOBODY), *(book.no[-1] if book.no else NOBODY))
