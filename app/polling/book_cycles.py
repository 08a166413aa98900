"""The order in which books are polled: each class of books has its own cycle and its share of the requests.

Trading happens in books with two sides, so they are polled often. The other markets' books rarely change; combos, ten
times as many as all others, hardly ever have orders. A single walk over all of them would poll a two-sided book only
once in half an hour if the request budget is small.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol
from zlib import crc32

from app.errors import SettingsError
from app.kalshi.request_budget import TOKENS_PER_CALL, BudgetLimits
from app.kalshi.rest_client import ticker_batches
from app.settings import Settings


class Cycle:
    """One walk over the active markets of a class, each exactly once.

    Membership is decided during the walk, so that starting it costs nothing even with a million markets. A market that
    is no longer active at its turn is left out; one that becomes active during the walk waits for the next one.
    """

    def __init__(self, tickers: Iterable[str], is_active: Callable[[str], bool], started_seconds: float) -> None:
        self.started_seconds = started_seconds
        self.ended_seconds: float | None = None
        self.markets = 0
        self._batches = ticker_batches(filter(is_active, tickers))
        self._is_exhausted = False
        self._in_flight = 0

    def next_batch(self) -> list[str]:
        """Return as many tickers as one request may name; none after the last. Report each batch with done()."""
        batch = next(self._batches, [])
        self._is_exhausted = not batch
        self._in_flight += bool(batch)
        return batch

    def done(self, batch: list[str]) -> None:
        self._in_flight -= 1
        self.markets += len(batch)

    def ends(self, now_seconds: float) -> bool:
        """Return True once: when the last of the batches is done."""
        if self.ended_seconds is not None or self._in_flight or not self._is_exhausted:
            return False
        self.ended_seconds = now_seconds
        return True

    @property
    def has_more(self) -> bool:
        return not self._is_exhausted


COMBO_PREFIX = "KXMVE"
LAST_ANSWERS_SECONDS = 0.05


class BookClass(Enum):
    TWO_SIDED = "two-sided"  # when last polled; or not polled yet
    ONE_SIDED = "one-sided"  # or empty
    COMBO = "combo"


# If all classes have books to poll: of ten requests six, three, and one.
STRIDES = {BookClass.TWO_SIDED: 1, BookClass.ONE_SIDED: 2, BookClass.COMBO: 6}


def book_class(ticker: str, *, may_be_two_sided: bool) -> BookClass:
    if ticker.startswith(COMBO_PREFIX):
        return BookClass.COMBO
    return BookClass.TWO_SIDED if may_be_two_sided else BookClass.ONE_SIDED


class PollingPart(NamedTuple):
    """The part of the books that one of several gatherers polls. Parts are numbered from 1."""

    number: int = 1
    parts: int = 1

    def holds(self, ticker: str) -> bool:
        return self.parts == 1 or crc32(ticker.encode()) % self.parts == self.number - 1


def intervals_of(settings: Settings) -> dict[BookClass, float]:
    quiet_seconds = settings.poll_quiet_seconds
    return {
        BookClass.TWO_SIDED: settings.poll_seconds,
        BookClass.ONE_SIDED: quiet_seconds,
        BookClass.COMBO: quiet_seconds,
    }


def part_of(settings: Settings) -> PollingPart:
    number, parts = settings.poll_part, settings.gatherers
    if number is None:
        return PollingPart()
    if number > parts:
        raise SettingsError(
            "There is no such share of the order books.",
            f"KALSHI_POLL_PART={number} is more than KALSHI_GATHERERS={parts}.",
            f"give each gatherer a number of its own, from 1 to {parts}, or unset it.",
        )
    return PollingPart(number, parts)


class BookCycles:
    """Choose the next books to poll, from the cycles of the three classes. Pure: the time is a parameter.

    Not safe for use by several threads.
    """

    def __init__(
        self,
        intervals_seconds: Mapping[BookClass, float],
        tickers_of: Callable[[BookClass], Iterable[str]],
        is_active: Callable[[str], bool],
    ) -> None:
        self._intervals_seconds = intervals_seconds
        self._tickers_of = tickers_of
        self._is_active = is_active
        self._cycles: dict[BookClass, Cycle] = {}
        self._turns = dict.fromkeys(BookClass, 0)

    def next_batch(self, now_seconds: float) -> tuple[Cycle, list[str]] | None:
        """Return books to poll now, or None if everything that is due has been given out."""
        # All due cycles begin together: otherwise a book whose class changes during polling could move from one to
        # another.
        due = {which: self._due(which, now_seconds) for which in BookClass}
        for which in sorted(BookClass, key=self._turns.__getitem__):
            cycle = due[which]
            if cycle is not None and (batch := cycle.next_batch()):
                self._count_turn(which)
                return cycle, batch
        return None

    def ended(self, now_seconds: float) -> list[tuple[BookClass, Cycle]]:
        """Return the cycles whose last request has been answered, each once."""
        return [(which, cycle) for which, cycle in self._cycles.items() if cycle.ends(now_seconds)]

    def idle_seconds(self, now_seconds: float) -> float:
        """Return for how long there will be nothing to do."""
        return min(self._waits_seconds(which, now_seconds) for which in BookClass)

    def _waits_seconds(self, which: BookClass, now_seconds: float) -> float:
        cycle = self._cycles.get(which)
        if cycle is None or cycle.has_more:
            return 0
        if cycle.ended_seconds is None:
            return LAST_ANSWERS_SECONDS
        return max(cycle.started_seconds + self._intervals_seconds[which] - now_seconds, 0)

    def _due(self, which: BookClass, now_seconds: float) -> Cycle | None:
        cycle = self._cycles.get(which)
        if cycle is not None and cycle.has_more:
            return cycle
        if cycle is not None and (cycle.ended_seconds is None or self._waits_seconds(which, now_seconds)):
            return None
        cycle = self._cycles[which] = Cycle(self._tickers_of(which), self._is_active, now_seconds)
        # A class that had nothing to poll for a while has not saved up turns.
        self._turns[which] = max(self._turns[which], self._fewest_turns_of_others(which))
        return cycle

    def _fewest_turns_of_others(self, which: BookClass) -> int:
        busy = [self._turns[other] for other, cycle in self._cycles.items() if other is not which and cycle.has_more]
        return min(busy, default=0)

    def _count_turn(self, which: BookClass) -> None:
        self._turns[which] += STRIDES[which]


class ActiveMarkets(Protocol):
    """The markets that trade, as the registry knows them."""

    def active_tickers(self) -> Iterable[str]:
        """Yield the active tickers, each once. One added or removed during the walk may be left out."""

    def is_active(self, ticker: str) -> bool: ...


# The time from sending a request to having stored its books: 50 to 100 ms, measured against the exchange.
CALL_MILLISECONDS = 100
# Of the session's 32 shared connections, some are left to other callers.
MOST_FETCHERS = 24


def fetchers_for(limits: BudgetLimits) -> int:
    """Return how many requests have to be in flight to use up this budget."""
    calls_e3 = limits.tokens_per_second * CALL_MILLISECONDS // TOKENS_PER_CALL
    return min(calls_e3 // 1_000 + 1, MOST_FETCHERS)
