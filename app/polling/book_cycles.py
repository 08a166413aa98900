"""Whose book is polled next: each class of books has a cycle of its own, and a share of the requests.

Books with two sides are where trading is, and are polled often; the other markets' rarely change, and combos, ten times
as many as all others, hardly ever have orders. One walk over all of them would poll a two-sided book once in half an
hour where the request budget is small.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple
from zlib import crc32

from app.errors import SettingsError
from app.polling.cycle import Cycle
from app.settings import Settings

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


class Part(NamedTuple):
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


def part_of(settings: Settings) -> Part:
    number, parts = settings.poll_part, settings.gatherers
    if number is None:
        return Part()
    if number > parts:
        raise SettingsError(
            "There is no such part of the books.",
            f"KALSHI_POLL_PART={number} is more than KALSHI_GATHERERS={parts}.",
            f"give each gatherer a part of its own, from 1 to {parts}, or unset it.",
        )
    return Part(number, parts)


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
