import random

from app.simulator import lifecycle
from app.simulator.activity import Activity
from app.simulator.candles import Candle, candles
from app.simulator.catalog import Catalog
from app.simulator.changes import Book, Change, Lifecycle, Ticker
from app.simulator.crowd import Crowd
from app.simulator.draws import draw
from app.simulator.ended_markets import EndedMarkets
from app.simulator.live_market import Figures, LiveMarket, ticker, top_of
from app.simulator.opening import LONGEST_SIDE, emptied, opening_book, opening_figures
from app.simulator.phases import CANCELLING, RESTING, WAKING, Phase
from app.simulator.prices import ticks
from app.simulator.recent_trades import RecentTrades
from app.simulator.timetable import Occasion, Timetable

CROWD, ATTENTION = 41, 42
CLOCKS_RESTARTED = "clocks_restarted"


class Exchange:
    """What happens, in order of time. The same seed gives the same history, in whatever slices time is advanced.

    What is called besides advance() takes effect at the moment that was last advanced to. Between two calls the books
    hold every change that was returned, and nothing else. Only markets with activity are kept; what the other ones look
    like is computed when asked.
    """

    def __init__(self, catalog: Catalog, changes_per_second: int) -> None:
        self.catalog = catalog
        self.now_us = catalog.start_us
        self._changes_per_second = changes_per_second
        self.trades = RecentTrades()
        self._bits = random.Random(draw(catalog.seed, ATTENTION)).getrandbits  # noqa: S311 - believable, not secret
        self._crowd = Crowd(draw(catalog.seed, CROWD), self.trades, whole_contracts=catalog.whole_cents)
        self._activity = Activity(catalog)
        self._timetable = Timetable(catalog.plan, catalog.start_us)
        self._live: dict[int, LiveMarket] = {}
        self._ended = EndedMarkets()
        self._next_action_ns = catalog.start_us * 1_000
        self._is_paused = False
        self._clocks_restarted = False
        self._announcements: list[Change] = []

    def advance(self, until_us: int) -> list[Change]:
        """Everything up to and including a moment."""
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

    def book(self, index: int) -> Book:
        if live := self._live.get(index):
            return live.book()
        return self._passing_book(index)

    def quote(self, index: int) -> Ticker:
        """What a ticker message would say now."""
        if live := self._live.get(index):
            return live.ticker(self.now_us)
        # Only the best levels are asked for, and a page asks a thousand times.
        top = top_of(self._passing_book(index, depth=1))
        return ticker(self.now_us, index, top, self._passing_figures(index))

    def candles(self, index: int, start_us: int, end_us: int, period_minutes: int) -> list[Candle]:
        """Of the trades that are still known."""
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
        """Nobody trades; markets still open and close."""
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._go_on_from_now()

    def restart_clocks(self) -> None:
        """As maintenance may do: every market counts anew. The next advance() begins with a record of it."""
        self._clocks_restarted = True
        for live in self._live.values():
            live.clock = restarted(live.clock)
        self._ended.restart_clocks()
        self._announcements.append(Lifecycle(self.now_us, "", lifecycle.SILENT, CLOCKS_RESTARTED, {}))

    @property
    def _is_idle(self) -> bool:
        return self._is_paused or not self._changes_per_second

    def _go_on_from_now(self) -> None:
        """Nothing is made up for: what nobody did in the meantime did not happen."""
        self._next_action_ns = max(self._next_action_ns, self.now_us * 1_000)

    def _act(self, at_us: int) -> None:
        changes = self._crowd.changes
        before = len(changes)
        bits = self._bits(32)
        index = self._activity.next(bits)
        if index is not None:
            self._crowd.act(self._live.get(index) or self._make_live(index), at_us)
        # As many changes a second as were asked for, though an action makes one or seven of them.
        made = max(1, len(changes) - before)
        self._next_action_ns += made * (1_000_000_000 // self._changes_per_second) * (256 + (bits >> 22 & 511)) >> 9

    def _take_turn(self, occasion: Occasion) -> None:
        index, phase = occasion.market, occasion.phase
        self._crowd.changes += lifecycle.messages(self.catalog, occasion)
        self.now_us = occasion.at_us
        if phase in RESTING:
            self._activity.rest(index)
        elif phase in CANCELLING and (index in self._live or self._opening_book(index).clock):
            self._crowd.cancel_all(self._live.get(index) or self._make_live(index), occasion.at_us)
        elif phase is Phase.STRUCTURE and index in self._live:
            self._live[index].ticks = ticks(self.catalog.structure(index, occasion.at_us))
        elif phase is Phase.SETTLED and (live := self._live.pop(index, None)):
            self._ended.add(index, emptied(live.book()).clock, live.figures)
        if phase in WAKING:
            self._activity.wake(index)

    def _make_live(self, index: int) -> LiveMarket:
        prices = ticks(self.catalog.structure(index, self.now_us))
        live = LiveMarket(index, prices, self._passing_book(index), self._passing_figures(index))
        self._live[index] = live
        return live

    def _passing_figures(self, index: int) -> Figures:
        ended = self._ended.get(index)
        return ended.figures if ended else opening_figures(self.catalog, index)

    def _passing_book(self, index: int, depth: int = LONGEST_SIDE) -> Book:
        if ended := self._ended.get(index):
            return Book(ended.clock, [], [])
        book = self._opening_book(index, depth)
        return emptied(book) if self.status(index) == "finalized" else book

    def _opening_book(self, index: int, depth: int = LONGEST_SIDE) -> Book:
        book = opening_book(self.catalog, index, depth)
        return book._replace(clock=restarted(book.clock)) if self._clocks_restarted else book


def restarted(clock: int) -> int:
    return min(clock, 1)
