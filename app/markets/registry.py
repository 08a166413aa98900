"""The state of all markets, from three sources: REST, the stream and the clock.

REST has the last word; until it answers, the stream and the clock are believed, so that recording starts and ends in
time. The methods return the changes they made, for ingest.py to publish.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.kalshi.rest_objects import ExchangeStatus
from app.markets.lifecycle import Announcement, as_created, as_told, as_vanished
from app.markets.market import (
    LAG_US,
    MINUTE_US,
    STATUSES,
    Market,
    MarketChange,
    Quote,
    apply_clock,
    change_between,
    closing,
    departure,
    introduction,
    is_about_to_close,
    is_to_be_recorded,
    next_moment_us,
    trading_status,
)
from app.markets.quotes import PackedTitles, Quotes
from app.markets.store import MarketCache, Schedule, SortedTickers

# REST may not find a market that was announced just now, and a single answer without a market is no proof: a list that
# is empty by mistake would end the recording of every market asked for. A market has to be missing for this long.
VANISHING_US = 10 * MINUTE_US


class Shown(NamedTuple):
    """The result of a look at REST.

    It states whether the row differs from the last one, whether the market was unknown, and the change, if there is
    one.
    """

    is_news: bool
    is_new: bool
    change: MarketChange | None


class Vanished(NamedTuple):
    """A market that REST no longer knows, as it is to be stored."""

    market: Market
    change: MarketChange | None  # None: subscribers know of its end already


class Before(NamedTuple):
    """The previous state of a market."""

    status: str | None  # None: it was unknown
    is_recorded: bool


def _unknown() -> ExchangeStatus | None:
    return None


class Markets:
    """The current state of all markets, by what REST showed, the stream announced and the clock changed.

    REST has the last word. In between, the stream and the clock are believed, so that recording starts and ends in
    time.
    """

    def __init__(self, exchange_status: Callable[[], ExchangeStatus | None] = _unknown) -> None:
        self.active = SortedTickers()
        self.counts = dict.fromkeys(STATUSES, 0)
        self._exchange_status = exchange_status
        self._cache = MarketCache()
        self.quotes = Quotes(self._cache.slot)
        self._titles = PackedTitles()
        self._schedule = Schedule()
        self._digest = array("q")
        self._walk = array("I")
        self._changed = array("q")
        self._is_recorded = array("B")
        self._is_told = array("B")  # the stream announced something that REST has not shown since
        self._missing_since = array("q")
        self._walks = 0
        self.walked = 0  # how many markets REST showed since the walk began

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def slots(self) -> int:
        return self._cache.slots

    def get(self, ticker: str) -> Market | None:
        """Return the market with its title, its quote and its trading status; None if it is unknown."""
        slot = self._cache.slot(ticker)
        return None if slot is None else self._completed(slot, self._cache.market(slot))

    def knows(self, ticker: str) -> bool:
        return self._cache.slot(ticker) is not None

    def is_shown(self, ticker: str) -> bool:
        """Return whether the market is known, and REST did not leave it out when it was last asked."""
        slot = self._cache.slot(ticker)
        return slot is not None and not self._missing_since[slot]

    def is_active(self, ticker: str) -> bool:
        slot = self._cache.slot(ticker)
        return slot is not None and self._cache.status(slot) == "active"

    def followed(self) -> Iterator[MarketChange]:
        """Yield a "created" change for every market that is active, or to be recorded for another reason."""
        for slot in range(self._cache.slots):
            is_recorded = bool(self._is_recorded[slot])
            if self._cache.ticker(slot) is not None and (is_recorded or self._cache.status(slot) == "active"):
                yield introduction(self._completed(slot, self._cache.market(slot)), is_recorded=is_recorded)

    def apply_rest(self, market: Market, digest: int, now_us: int, quote: Quote | None = None) -> Shown:
        """Apply a market that REST shows.

        REST may be behind the clock by its cache's age, so recent openings and closings are applied to its answer;
        about older ones REST is right.
        """
        turned_market = apply_clock(market, now_us, now_us - LAG_US)
        slot, before = self._become(turned_market, now_us)
        is_news = self._digest[slot] != digest
        self._digest[slot] = digest
        self.walked += self._walk[slot] != self._walks
        self._walk[slot] = self._walks
        self._is_told[slot] = self._missing_since[slot] = 0
        if is_news and self._titles[slot] != market.title:
            self._titles[slot] = market.title
        if quote is not None:
            self.quotes.apply_rest(market.ticker, slot, quote, now_us)
        return Shown(is_news, before.status is None, self._change(slot, before, turned_market))

    def recall(self, market: Market, now_us: int) -> MarketChange | None:
        """Take up a market as an earlier run stored it. A walk that does not show it has it asked for by its name."""
        turned_market = apply_clock(market, now_us)
        slot, before = self._become(turned_market, now_us)
        self._titles[slot] = market.title
        return self._change(slot, before, turned_market)

    def apply_announcement(self, told: Announcement, now_us: int) -> MarketChange | None:
        """Apply an announcement of the stream. Return the change, or None if it changes nothing."""
        known = self._cache.slot(told.market_ticker)
        was = None if known is None else self._cache.market(known)
        market = as_created(told) if was is None else as_told(was, told, now_us)
        if market is None:
            return None
        turned_market = apply_clock(market, now_us, now_us - LAG_US)
        slot, before = self._become(turned_market, now_us)
        if was is None:
            self._titles[slot] = market.title
        if market != was:
            self._is_told[slot] = True
        return self._change(slot, before, turned_market)

    def next_clock_change(self, now_us: int) -> MarketChange | None:
        """Return the next change that the clock makes, or None if none is due."""
        while (slot := self._schedule.next_due(now_us)) is not None:
            market = apply_clock(self._cache.market(slot), now_us)
            _, before = self._become(market, now_us)
            if change := self._change(slot, before, market):
                return change
            if is_about_to_close(market, now_us):
                return closing(self._completed(slot, market))
        return None

    def vanish(self, ticker: str, now_us: int) -> Vanished | None:
        """Apply that REST did not find a market.

        Return None if the market is too new, is not missing for long enough, or is stored with its end already.
        """
        slot = self._cache.slot(ticker)
        if slot is None:
            return None
        market = self._cache.market(slot)
        if market.status == "finalized":
            # It stays known for a while: a late copy of its announcement must not create it again.
            is_told, self._is_told[slot] = self._is_told[slot], False
            return Vanished(as_vanished(self._completed(slot, market), now_us), None) if is_told else None
        if not self._missing_since[slot]:
            self._missing_since[slot] = now_us
        if max(self._changed[slot], self._missing_since[slot]) > now_us - VANISHING_US:
            return None
        completed = self._completed(slot, market)
        self._evict(slot)
        return Vanished(as_vanished(completed, now_us), departure(market))

    def events(self, slots: range) -> set[str]:
        """Return the events of the markets in these slots."""
        return {event_ticker for slot in slots if (event_ticker := self._cache.event_ticker(slot)) is not None}

    def begin_walk(self) -> None:
        """Begin a walk over all markets of REST: from here on, markets that no page shows are counted as unseen."""
        self._walks += 1
        self.walked = 0

    def sweep(self, slots: range, settled_before_us: int) -> list[str]:
        """Return the markets in these slots that need a look by name, and evict the ones that settled long ago.

        To be looked at are unsettled markets that no page has shown since the walk began, and settled ones whose
        settlement only the stream announced.
        """
        unseen: list[str] = []
        for slot in slots:
            ticker = self._cache.ticker(slot)
            if ticker is None:
                continue
            if self._cache.status(slot) != "finalized":
                if self._walk[slot] != self._walks:
                    unseen.append(ticker)
            elif self._is_told[slot]:
                unseen.append(ticker)
            elif self._changed[slot] < settled_before_us:
                self._evict(slot)
        return unseen

    def _become(self, market: Market, now_us: int) -> tuple[int, Before]:
        known = self._cache.slot(market.ticker)
        old_status = None if known is None else self._cache.status(known)
        slot = self._cache.store(market)
        if known is None:
            self._clear(slot)
        before = Before(old_status, bool(self._is_recorded[slot]))
        self._is_recorded[slot] = is_to_be_recorded(market, now_us)
        self._schedule.set(slot, next_moment_us(market, now_us))
        if old_status != market.status:
            self._changed[slot] = now_us
            self._count(old_status, market)
        return slot, before

    def _change(self, slot: int, before: Before, after: Market) -> MarketChange | None:
        is_recorded = bool(self._is_recorded[slot])
        if before == (after.status, is_recorded):
            return None
        completed = self._completed(slot, after)
        return change_between(before.status, completed, was_recorded=before.is_recorded, is_recorded=is_recorded)

    def _completed(self, slot: int, market: Market) -> Market:
        title, trading = self._titles[slot], trading_status(market, self._exchange_status())
        quote = self.quotes.of(market.ticker, slot)
        return market._replace(title=title, trading_status=trading).with_quote(quote)

    def _count(self, old_status: str | None, after: Market) -> None:
        if old_status is not None:
            self.counts[old_status] -= 1
        self.counts[after.status] += 1
        if after.status == "active":
            self.active.add(after.ticker)
        elif old_status == "active":
            self.active.discard(after.ticker)

    def _clear(self, slot: int) -> None:
        columns = self._digest, self._walk, self._changed, self._is_recorded, self._is_told, self._missing_since
        for column in columns:
            if slot == len(column):
                column.append(0)
            column[slot] = 0
        self.quotes.clear(slot)

    def _evict(self, slot: int) -> None:
        market = self._cache.market(slot)
        self.counts[market.status] -= 1
        self.active.discard(market.ticker)
        self._schedule.set(slot, None)
        self._cache.remove(slot)
