"""The simulated exchange: advances markets and traders in time, and returns every change.

In: the catalog, a rate of changes and moments to advance to. Out: changes in order, books and quotes.
Only markets with activity are kept in memory. The books and figures of all others are computed from the seed when asked
for, which is what makes a million markets affordable.
"""

import random
from collections.abc import Iterator
from functools import lru_cache
from math import isqrt

from app.simulator.market import lifecycle
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import Change, SimBook, SimLifecycle, SimTicker
from app.simulator.market.history import EndedMarkets, RecentTrades, SimCandle, candles
from app.simulator.market.kinds import CANCELLING, RESTING, WAKING, Phase
from app.simulator.market.lifecycle import Occasion, Timetable
from app.simulator.market.live_market import Figures, SimLiveMarket, ticker, top_of
from app.simulator.market.plan import event_of, kind_of
from app.simulator.market.prices import ticks
from app.simulator.market.random import draw, scrambled
from app.simulator.market.traders import RandomTraders

MOST_AWAKE = 20_000
TABLE_BITS = 16
ORDER = 31
# One action in this many goes to any awake market, hot or not.
TAIL_ONE_IN = 8


class Activity:
    """The awake markets, and the choice of the next action's market: few take most, the tail takes a little.

    Markets have places, the first ones the hottest. A market that ends leaves its place to one that opens.
    """

    def __init__(self, catalog: Catalog, most_awake: int = MOST_AWAKE) -> None:
        self._most_awake = most_awake
        self._places: list[int | None] = []
        self._place_of: dict[int, int] = {}
        self._free: list[int] = []
        for index in sorted(_open_sample(catalog, most_awake), key=lambda index: draw(catalog.seed, ORDER, index)):
            self.wake(index)
        self._table = _weighted_table(most_awake)

    def __len__(self) -> int:
        return len(self._place_of)

    def wake(self, index: int) -> None:
        """Give the market the hottest free place; with none left it stays quiet."""
        if index in self._place_of:
            return
        if self._free:
            place = min(self._free)
            self._free.remove(place)
            self._places[place] = index
        elif len(self._places) < self._most_awake:
            place = len(self._places)
            self._places.append(index)
        else:
            return
        self._place_of[index] = place

    def rest(self, index: int) -> bool:
        """Take the market's place from it. Return True if it was awake."""
        place = self._place_of.pop(index, None)
        if place is None:
            return False
        self._places[place] = None
        self._free.append(place)
        return True

    def next(self, bits: int) -> int | None:
        """Return the market of the next action, or None if the draw falls on a free place."""
        if not self._places:
            return None
        place = bits >> 3 if bits % TAIL_ONE_IN == 0 else self._table[bits >> 3 & (1 << TABLE_BITS) - 1]
        return self._places[place % len(self._places)]


def _weighted_table(places: int) -> list[int]:
    """Return a table to draw places from, each in proportion to its weight: rank r has the weight 1 / r^1.25."""
    weights = [10**12 // (rank * isqrt(isqrt(rank * 10**8))) for rank in range(1, min(places, 4_000) + 1)]
    total, table = sum(weights), list[int]()
    for place, weight in enumerate(weights):
        table += [place] * (weight * (1 << TABLE_BITS) // total)
    return table + [0] * ((1 << TABLE_BITS) - len(table))


def _open_sample(catalog: Catalog, most: int) -> Iterator[int]:
    """Yield open markets, spread over the catalog if there are more than enough; some places stay free for new ones."""
    count = len(catalog)
    step = max(1, count * 10 // (most * 9))
    for first in range(0, count, step):
        index = min(first + draw(catalog.seed, ORDER, first) % step, count - 1)
        if catalog.status(index, catalog.start_us) == "active":
            yield index
    # A market that is paused at the start wakes when it is resumed; one that is not open yet, when it opens.


# The state at the start of the markets open then: books and figures, from the seed and their number.

CLOCK, BOOK, FIGURES = 21, 22, 23
EMPTY_BOOK = SimBook(0, [], [])
NO_FIGURES: Figures = (0, 0, 0, 0, 0)
LONGEST_SIDE = 12


@lru_cache(maxsize=1)  # requested twice in a row: as a market's book, and for its figures
def opening_book(catalog: Catalog, index: int, depth: int = LONGEST_SIDE) -> SimBook:
    """Return the book at the start; empty for markets that opened later, and for most combos, which have no quotes."""
    if not _was_open(catalog, index):
        return EMPTY_BOOK
    book = SimBook(1 + draw(catalog.seed, CLOCK, index) % 5_000_000, *_opening_sides(catalog, index, depth))
    return emptied(book) if catalog.is_emptied(index, catalog.start_us) else book


def _opening_sides(catalog: Catalog, index: int, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    bits = draw(catalog.seed, BOOK, index)
    structure = catalog.structure(index, catalog.start_us)
    is_quoted = bits % 8 < (2 if kind_of(event_of(index)[0]).is_combo else 7)
    if not is_quoted:
        return [], []
    prices = ticks(structure)
    count = len(prices)
    # The best YES bid is at this tick, and the YES ask, a NO bid counted from the other end, at least one above.
    best = count // 10 + (bits >> 8) % (count * 8 // 10)
    spread = 1 + (bits >> 24) % 3
    whole = catalog.whole_cents
    return (
        _levels(prices, best, scrambled(bits), depth, whole=whole),
        _levels(prices, count - 1 - best - spread, scrambled(bits + 1), depth, whole=whole),
    )


def emptied(book: SimBook) -> SimBook:
    """Return the book after settlement: emptying it is a change with a clock, unless it was empty already."""
    return SimBook(book.clock + 1, [], []) if book.yes or book.no else book


def opening_figures(catalog: Catalog, index: int) -> Figures:
    book = opening_book(catalog, index, 1)
    bits = draw(catalog.seed, FIGURES, index)
    if not book.yes or not book.no or bits % 4 == 0:
        return NO_FIGURES
    last_price_e6 = book.yes[-1][0] if bits & 4 else 1_000_000 - book.no[-1][0]
    volume_e2 = 10_000 + 100 * ((bits >> 8) % 1_000_000)
    return (
        last_price_e6,
        min(volume_e2, 100 * (1 + (bits >> 32) % 500)),
        volume_e2,
        volume_e2 // 3,
        volume_e2 * last_price_e6,
    )


def _levels(prices: tuple[int, ...], top: int, bits: int, depth: int, *, whole: bool) -> list[tuple[int, int]]:
    """Return the best `depth` levels of a side."""
    levels: list[tuple[int, int]] = []
    for _ in range(min(depth, bits % LONGEST_SIDE)):
        if top < 0:
            break
        bits = scrambled(bits)
        size_e2 = 100 * (1 + (bits & 0xFFF)) if whole or bits >> 12 & 3 else 1 + (bits >> 16 & 0xFFFFF)
        levels.append((prices[top], size_e2))
        top -= 1 + (bits >> 40) % 3
    return levels[::-1]


def _was_open(catalog: Catalog, index: int) -> bool:
    return catalog.plan.turn_us(index, Phase.OPENED) <= catalog.start_us


CROWD, ATTENTION = 41, 42
CLOCKS_RESTARTED = "clocks_restarted"


class Exchange:
    """All that happens, in order of time. The same seed gives the same history, however time is sliced.

    Calls other than advance() take effect at the moment last advanced to. Between two calls the books contain every
    change that was returned, and nothing more. Only markets with activity are kept; the state of the others is computed
    on demand.
    """

    def __init__(self, catalog: Catalog, changes_per_second: int) -> None:
        self.catalog = catalog
        self.now_us = catalog.start_us
        self._changes_per_second = changes_per_second
        self.trades = RecentTrades()
        self._bits = random.Random(draw(catalog.seed, ATTENTION)).getrandbits  # noqa: S311 - believable, not secret
        self._crowd = RandomTraders(
            draw(catalog.seed, CROWD), self.trades, catalog.profile, whole_contracts=catalog.whole_cents
        )
        self._activity = Activity(catalog)
        self._timetable = Timetable(catalog.plan, catalog.start_us)
        self._live: dict[int, SimLiveMarket] = {}
        self._ended = EndedMarkets()
        self._next_action_ns = catalog.start_us * 1_000
        self._is_paused = False
        self._clocks_restarted = False
        self._announcements: list[Change] = []

    def advance(self, until_us: int) -> list[Change]:
        """Return every change up to and including a moment."""
        changes = self._crowd.changes = self._announcements
        self._announcements = []
        while True:
            turn_us, action_us = self._timetable.next_us, self._next_action_ns // 1_000
            is_turn = turn_us <= action_us or self._is_idle
            if (turn_us if is_turn else action_us) > until_us:
                break
            if is_turn:
                self._take_turn(self._timetable.pop())
            else:
                self._act(action_us)
        self.now_us = max(self.now_us, until_us)
        return changes

    @property
    def market_count(self) -> int:
        return self.catalog.count(self.now_us)

    def status(self, index: int) -> str:
        return self.catalog.status(index, self.now_us)

    def book(self, index: int) -> SimBook:
        """Return the market's present book."""
        if live := self._live.get(index):
            return live.book()
        return self._passing_book(index)

    def quote(self, index: int) -> SimTicker:
        """Return the ticker message that describes the market now."""
        if live := self._live.get(index):
            return live.ticker(self.now_us)
        # Only the best levels are computed: a page requests a thousand quotes.
        top = top_of(self._passing_book(index, depth=1))
        return ticker(self.now_us, index, top, self._passing_figures(index))

    def candles(self, index: int, start_us: int, end_us: int, period_minutes: int) -> list[SimCandle]:
        """Return the candles of the trades that are still remembered."""
        newest_first = [trade for _, trade in self.trades.newest_first(index, start_us, end_us)]
        return candles(reversed(newest_first), period_minutes)

    @property
    def changes_per_second(self) -> int:
        return self._changes_per_second

    @changes_per_second.setter
    def changes_per_second(self, wanted: int) -> None:
        self._changes_per_second = wanted
        self._go_on_from_now()

    def pause(self) -> None:
        """Stop trading; markets still open and close."""
        self._is_paused = True

    def resume(self) -> None:
        """Continue trading from now on."""
        self._is_paused = False
        self._go_on_from_now()

    def restart_clocks(self) -> None:
        """Restart every market's clock, as maintenance may do. The next advance() begins with a record of it."""
        self._clocks_restarted = True
        for live in self._live.values():
            live.clock = restarted(live.clock)
        self._ended.restart_clocks()
        self._announcements.append(SimLifecycle(self.now_us, "", lifecycle.SILENT, CLOCKS_RESTARTED, {}))

    @property
    def _is_idle(self) -> bool:
        return self._is_paused or not self._changes_per_second

    def _go_on_from_now(self) -> None:
        """Schedule the next action no earlier than now: actions missed during a pause are not made up for."""
        self._next_action_ns = max(self._next_action_ns, self.now_us * 1_000)

    def _act(self, at_us: int) -> None:
        changes = self._crowd.changes
        before = len(changes)
        bits = self._bits(32)
        index = self._activity.next(bits)
        if index is not None:
            self._crowd.act(self._live.get(index) or self._make_live(index), at_us)
        # Spaced by changes, not by actions: one action makes between one and seven of them.
        made = max(1, len(changes) - before)
        self._next_action_ns += made * (1_000_000_000 // self._changes_per_second) * (256 + (bits >> 22 & 511)) >> 9

    def _take_turn(self, occasion: Occasion) -> None:
        """Apply a market's turn: announce it, and put the market to rest, wake it, cancel its orders or end it."""
        index, phase = occasion.market, occasion.phase
        self._crowd.changes += lifecycle.messages(self.catalog, occasion)
        self.now_us = occasion.at_us
        if phase in RESTING:
            self._activity.rest(index)
        if phase in CANCELLING and (index in self._live or self._opening_book(index).clock):
            self._crowd.cancel_all(self._live.get(index) or self._make_live(index), occasion.at_us)
        elif phase is Phase.CLOSED and self.catalog.profile.empties_at_close and index in self._live:
            self._live[index].empty(emptied(self._live[index].book()).clock)
        elif phase is Phase.STRUCTURE and index in self._live:
            self._live[index].ticks = ticks(self.catalog.structure(index, occasion.at_us))
        elif phase is Phase.SETTLED and (live := self._live.pop(index, None)):
            self._ended.add(index, emptied(live.book()).clock, live.figures)
        if phase in WAKING:
            self._activity.wake(index)

    def _make_live(self, index: int) -> SimLiveMarket:
        prices = ticks(self.catalog.structure(index, self.now_us))
        live = SimLiveMarket(index, prices, self._passing_book(index), self._passing_figures(index))
        self._live[index] = live
        return live

    def _passing_figures(self, index: int) -> Figures:
        ended = self._ended.get(index)
        return ended.figures if ended else opening_figures(self.catalog, index)

    def _passing_book(self, index: int, depth: int = LONGEST_SIDE) -> SimBook:
        if ended := self._ended.get(index):
            return SimBook(ended.clock, [], [])
        book = self._opening_book(index, depth)
        return emptied(book) if self.catalog.is_emptied(index, self.now_us) else book

    def _opening_book(self, index: int, depth: int = LONGEST_SIDE) -> SimBook:
        book = opening_book(self.catalog, index, depth)
        return book._replace(clock=restarted(book.clock)) if self._clocks_restarted else book


def restarted(clock: int) -> int:
    return min(clock, 1)
