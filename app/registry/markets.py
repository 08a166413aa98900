from array import array
from typing import NamedTuple

from app.registry.announcement import Announcement, as_created, as_told, as_vanished
from app.registry.cache import MarketCache
from app.registry.change import MarketChange, change_between, closing, departure
from app.registry.market import STATUSES, Market
from app.registry.schedule import Schedule
from app.registry.sorted_tickers import SortedTickers
from app.registry.timing import LAG_US, MINUTE_US, is_about_to_close, is_to_be_recorded, next_moment_us, turned

NO_DIGEST = 0
# A market that was just announced may not be found by REST yet, and one answer without it is no proof: a list that is
# empty by mistake would end the recording of all that were asked for. So long must it have been missing.
VANISHING_US = 10 * MINUTE_US


class Shown(NamedTuple):
    """What came of a look at REST: whether its row is another one than last time, and the change if there is one."""

    is_news: bool
    change: MarketChange | None


class Vanished(NamedTuple):
    """A market that REST does not know any more, as it is to be stored."""

    market: Market
    change: MarketChange | None  # None: others heard of its end already


class Markets:
    """All markets as they are now, after what REST showed, what the stream told and what the clock has brought.

    REST has the last word. In between the stream and the clock are believed, so that recording starts and ends in time.
    """

    def __init__(self) -> None:
        self.active = SortedTickers()
        self.counts = dict.fromkeys(STATUSES, 0)
        self._cache = MarketCache()
        self._schedule = Schedule()
        self._digest = array("q")
        self._walk = array("I")
        self._changed = array("q")
        self._is_recorded = array("B")
        self._is_told = array("B")  # the stream said more than REST has shown since
        self._missing_since = array("q")
        self._walks = 0

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def slots(self) -> int:
        return self._cache.slots

    def get(self, ticker: str) -> Market | None:
        slot = self._cache.slot(ticker)
        return None if slot is None else self._cache.market(slot)

    def show(self, market: Market, digest: int, now_us: int) -> Shown:
        """REST shows it so. It may be behind the clock by a little; what is longer ago it knows better."""
        slot, change = self._become(turned(market, now_us, now_us - LAG_US), now_us)
        is_news = self._digest[slot] != digest
        self._digest[slot] = digest
        self._walk[slot] = self._walks
        self._is_told[slot] = self._missing_since[slot] = 0
        return Shown(is_news, change)

    def tell(self, told: Announcement, now_us: int) -> MarketChange | None:
        before = self.get(told.market_ticker)
        market = as_created(told) if before is None else as_told(before, told, now_us)
        if market is None:
            return None
        slot, change = self._become(turned(market, now_us, now_us - LAG_US), now_us)
        if market != before:
            self._is_told[slot] = True
        return change

    def turn(self, now_us: int) -> MarketChange | None:
        """The change that is due next; None when nothing is due."""
        while (slot := self._schedule.next_due(now_us)) is not None:
            market = turned(self._cache.market(slot), now_us)
            _, change = self._become(market, now_us)
            if change is not None:
                return change
            if is_about_to_close(market, now_us):
                return closing(market)
        return None

    def vanish(self, ticker: str, now_us: int) -> Vanished | None:
        """REST did not find it. None: it is too new, was not missing for long enough, or is stored as it ended."""
        slot = self._cache.slot(ticker)
        if slot is None:
            return None
        market = self._cache.market(slot)
        if market.status == "finalized":
            # It stays known for a while: a late copy of its announcement must not make it a new market.
            is_told, self._is_told[slot] = self._is_told[slot], False
            return Vanished(as_vanished(market, now_us), None) if is_told else None
        if not self._missing_since[slot]:
            self._missing_since[slot] = now_us
        if max(self._changed[slot], self._missing_since[slot]) > now_us - VANISHING_US:
            return None
        self._evict(slot)
        return Vanished(as_vanished(market, now_us), departure(market))

    def events(self, slots: range) -> set[str]:
        """Those of the markets in these slots."""
        return {self._cache.market(slot).event_ticker for slot in slots if self._cache.ticker(slot) is not None}

    def begin_walk(self) -> None:
        """From here on the markets are counted that a walk through all of REST's does not show."""
        self._walks += 1

    def sweep(self, slots: range, settled_before_us: int) -> list[str]:
        """Those of these slots that no page showed since the walk began, and whose settlement only the stream told.
        Those settled for long are let go of."""
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

    def _become(self, market: Market, now_us: int) -> tuple[int, MarketChange | None]:
        known = self._cache.slot(market.ticker)
        before = None if known is None else self._cache.market(known)
        slot = self._cache.store(market)
        if before is None:
            self._clear(slot)
        was_recorded, is_recorded = bool(self._is_recorded[slot]), is_to_be_recorded(market, now_us)
        self._is_recorded[slot] = is_recorded
        self._schedule.set(slot, next_moment_us(market, now_us))
        if before is None or before.status != market.status:
            self._changed[slot] = now_us
            self._count(before, market)
        return slot, change_between(before, market, was_recorded=was_recorded, is_recorded=is_recorded)

    def _count(self, before: Market | None, after: Market) -> None:
        if before is not None:
            self.counts[before.status] -= 1
        self.counts[after.status] += 1
        if after.status == "active":
            self.active.add(after.ticker)
        elif before is not None and before.status == "active":
            self.active.discard(after.ticker)

    def _clear(self, slot: int) -> None:
        columns = self._digest, self._walk, self._changed, self._is_recorded, self._is_told, self._missing_since
        for column in columns:
            if slot == len(column):
                column.append(0)
            column[slot] = 0

    def _evict(self, slot: int) -> None:
        market = self._cache.market(slot)
        self.counts[market.status] -= 1
        self.active.discard(market.ticker)
        self._schedule.set(slot, None)
        self._cache.remove(slot)
