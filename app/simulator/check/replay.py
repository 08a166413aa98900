"""The replay of the exchange's books from its history, to compare recorded books with.

In: recorded books with their clocks, and the changes in order. Out: the true book for each, and whether a change that
it needs was never delivered.
"""

from collections import defaultdict
from collections.abc import Container

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import Change, SimBook, SimDelta, SimLifecycle
from app.simulator.market.exchange import CLOCKS_RESTARTED, emptied, opening_book, restarted
from app.simulator.market.lifecycle import is_close

Levels = dict[int, int]


class Wanted:
    """A recorded book, to be compared with the exchange's at the same clock."""

    def __init__(self, market: int, epoch: int, clock: int, sides: tuple[Levels, Levels], base_clock: int) -> None:
        self.market = market
        self.moment = (epoch, clock)
        self.sides = sides
        self.base = (epoch, base_clock)
        self.has_hole = False
        self.actual: tuple[Levels, Levels] | None = None


class Replay:
    """The exchange's books, replayed for the markets of recorded books."""

    def __init__(self, catalog: Catalog, wanted: list[Wanted], delivered: Container[int]) -> None:
        self._catalog = catalog
        self._delivered = delivered
        self._wanted: dict[int, list[Wanted]] = defaultdict(list)
        for want in sorted(wanted, key=lambda want: want.moment):
            self._wanted[want.market].append(want)
        self._books = {market: _replayed(opening_book(catalog, market)) for market in self._wanted}
        self._epoch = 0

    def feed(self, ordinal: int, change: Change) -> None:
        if isinstance(change, SimDelta):
            if change.market in self._books:
                self._change(ordinal, change)
        elif isinstance(change, SimLifecycle):
            if change.event_type == "settled" or (is_close(change) and self._catalog.profile.empties_at_close):
                self._empty(change.ticker)
            elif change.event_type == CLOCKS_RESTARTED:
                self._restart()

    def finish(self) -> None:
        for market in self._books:
            self._serve(market, None)

    def _change(self, ordinal: int, delta: SimDelta) -> None:
        moment = (self._epoch, delta.clock)
        self._serve(delta.market, moment)
        if ordinal not in self._delivered:
            for want in self._wanted[delta.market]:
                want.has_hole |= want.base < moment <= want.moment
        book = self._books[delta.market]
        side = book.yes if delta.yes_side else book.no
        side[delta.price_e6] = side.get(delta.price_e6, 0) + delta.delta_e2
        if not side[delta.price_e6]:
            del side[delta.price_e6]
        book.clock = delta.clock

    def _empty(self, ticker: str) -> None:
        market = self._catalog.index_of(ticker)
        if market not in self._books:
            return
        book = self._books[market]
        empty = emptied(SimBook(book.clock, list(book.yes.items()), list(book.no.items())))
        self._serve(market, (self._epoch, empty.clock))
        self._books[market] = _replayed(empty)

    def _restart(self) -> None:
        self._epoch += 1
        for market, book in self._books.items():
            self._serve(market, (self._epoch, 0))
            book.clock = restarted(book.clock)

    def _serve(self, market: int, before: tuple[int, int] | None) -> None:
        """Copy the present book to each waiting request for a moment before `before`; None serves all."""
        waiting, book = self._wanted[market], self._books[market]
        while waiting and (before is None or waiting[0].moment < before):
            waiting.pop(0).actual = (dict(book.yes), dict(book.no))


class _Replayed:
    """A book during the replay."""

    __slots__ = ("clock", "no", "yes")

    def __init__(self, clock: int, yes: Levels, no: Levels) -> None:
        self.clock = clock
        self.yes = yes
        self.no = no


def _replayed(book: SimBook) -> _Replayed:
    return _Replayed(book.clock, dict(book.yes), dict(book.no))
