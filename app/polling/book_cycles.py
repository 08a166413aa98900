"""Whose book is polled next: each class of books has a cycle of its own, and a share of the requests.

Books with two sides are where trading is, and are polled often; the other markets' rarely change, and combos, ten times
as many as all others, hardly ever have orders. One walk over all of them would poll a two-sided book once in half an
hour where the request budget is small.
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

    What belongs to it is decided on the way, so that a million markets cost nothing at the start. A market that is no
    longer active when its turn comes is left out; one that became active meanwhile waits for the next walk.
    """

    def __init__(self, tickers: Iterable[str], is_active: Callable[[str], bool], started_seconds: float) -> None:
        self.started_seconds = started_seconds
        self.ended_seconds: float | None = None
        self.markets = 0
        self._batches = ticker_batches(filter(is_active, tickers))
        self._is_exhausted = False
        self._in_flight = 0

    def next_batch(self) -> list[str]:
        """As many as one request may name; none when all were given out. Each batch is to be reported as done."""
        batch = next(self._batches, [])
        self._is_exhausted = not batch
        self._in_flight += bool(batch)
        return batch

    def done(self, batch: list[str]) -> None:
        self._in_flight -= 1
        self.markets += len(batch)

    def ends(self, now_seconds: float) -> bool:
        """True once: when the last of the batches is done."""
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


# When all have books to poll: of ten requests six, three, and one.
STRIDES = {BookClass.TWO_SIDED: 1, BookClass.ONE_SIDED: 2, BookClass.COMBO: 6}


def book_class(ticker: str, *, may_be_two_sided: bool) -> BookClass:
    if ticker.startswith(COMBO_PREFIX):
        return BookClass.COMBO
    return BookClass.TWO_SIDED if may_be_two_sided else BookClass.ONE_SIDED


class PollingPart(NamedTuple):
    """Several gatherers divide the books among them: each polls those of its own number, from 1 on."""

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
            "There is no such part of the books.",
            f"KALSHI_POLL_PART={number} is more than KALSHI_GATHERERS={parts}.",
            f"give each gatherer a part of its own, from 1 to {parts}, or unset it.",
        )
    return PollingPart(number, parts)


class BookCycles:
    """Time is handed in. Not for several threads at once."""

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
        """Return books to poll now. None: all that is due was given out."""
        # All that are due begin at once: what one of them finds out about a book moves it to no other meanwhile.
        due = {which: self._due(which, now_seconds) for which in BookClass}
        for which in sorted(BookClass, key=self._turns.__getitem__):
            cycle = due[which]
            if cycle is not None and (batch := cycle.next_batch()):
                self._count_turn(which)
                return cycle, batch
        return None

    def ended(self, now_seconds: float) -> list[tuple[BookClass, Cycle]]:
        """Return the cycles whose last request was answered, each once."""
        return [(which, cycle) for which, cycle in self._cycles.items() if cycle.ends(now_seconds)]

    def idle_seconds(self, now_seconds: float) -> float:
        """Return how long nothing is to be done."""
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
        # Who had nothing to poll for a while has saved up no turns.
        self._turns[which] = max(self._turns[which], self._fewest_turns_of_others(which))
        return cycle

    def _fewest_turns_of_others(self, which: BookClass) -> int:
        busy = [self._turns[other] for other, cycle in self._cycles.items() if other is not which and cycle.has_more]
        return min(busy, default=0)

    def _count_turn(self, which: BookClass) -> None:
        self._turns[which] += STRIDES[which]


class ActiveMarkets(Protocol):
    """Which markets trade, as the registry knows it."""

    def active_tickers(self) -> Iterable[str]:
        """What comes and goes while they are walked over may be met or not; what stays is met once."""

    def is_active(self, ticker: str) -> bool: ...


# From sending a request to having stored its books; measured against the exchange: 50 to 100 ms.
CALL_MILLISECONDS = 100
# Of the 32 connections of the session that all share, some are left to others.
MOST_FETCHERS = 24


def fetchers_for(limits: BudgetLimits) -> int:
    """How many requests must be under way at once for using up such a budget."""
    calls_e3 = limits.tokens_per_second * CALL_MILLISECONDS // TOKENS_PER_CALL
    return min(calls_e3 // 1_000 + 1, MOST_FETCHERS)
