import bisect
from itertools import count
from random import Random
from typing import NamedTuple

from app.kalshi.token_bucket import NS_PER_SECOND, Limits, TokenBucket
from app.subscriptions.patience import SECOND_US, Backoff

LONGEST_SECONDS = 60
DENIED_SECONDS = 300
FOREVER_SECONDS = 3_600.0


class Turn(NamedTuple):
    """A place in the queue. Turns sort as they come: connections of the whole exchange first, then by arrival."""

    is_of_books: bool
    number: int


class DialQueue:
    """Decides which connection of the process dials next, and when. Pure: the time is told, and nobody is woken.

    So many dial in a second. After an attempt that failed they dial one at a time and ever more slowly, until one
    succeeds: a door that is closed to one is closed to all.
    """

    def __init__(self, connects_per_second: int, random: Random, now_seconds: float) -> None:
        self._bucket = TokenBucket(Limits(connects_per_second, connects_per_second), _ns(now_seconds))
        self._random = random
        self._numbers = count(1)
        self._line: list[Turn] = []
        self._dialling = 0
        self._backoff = Backoff(SECOND_US, LONGEST_SECONDS * SECOND_US)
        self._closed_until_seconds = 0.0
        self.is_failing = False
        self.is_refusing = False  # the exchange answers, and lets nobody in

    @property
    def first(self) -> Turn | None:
        return self._line[0] if self._line else None

    def join(self, *, is_of_books: bool) -> Turn:
        turn = Turn(is_of_books, next(self._numbers))
        bisect.insort(self._line, turn)
        return turn

    def leave(self, turn: Turn) -> None:
        if turn in self._line:
            self._line.remove(turn)

    def take(self, turn: Turn, now_seconds: float) -> float:
        """Return 0 if it may dial: it has left the queue then, and opened() or failed() must follow. Else seconds to
        wait, unless something changes before."""
        if turn != self.first or (self.is_failing and self._dialling):
            return FOREVER_SECONDS
        wait_seconds = max(
            self._closed_until_seconds - now_seconds, self._bucket.ns_until(1, _ns(now_seconds)) / NS_PER_SECOND
        )
        if wait_seconds > 0:
            return wait_seconds
        self._bucket.take(1)
        self._line.remove(turn)
        self._dialling += 1
        return 0

    def opened(self) -> bool:
        """Return True if none did before."""
        self._dialling -= 1
        was_failing = self.is_failing
        self.forget_failures()
        return was_failing

    def failed(self, now_seconds: float, *, is_refused: bool = False, is_denied: bool = False) -> None:
        self._dialling -= 1
        self.is_failing, self.is_refusing = True, is_refused
        self._backoff.refused(int(now_seconds * SECOND_US))
        # Several gatherers that were refused together do not come back together.
        wait_seconds = (self._backoff.until_us / SECOND_US - now_seconds) * self._random.uniform(0.5, 1)
        wait_seconds = DENIED_SECONDS if is_denied else wait_seconds
        self._closed_until_seconds = max(self._closed_until_seconds, now_seconds + wait_seconds)

    def forget_failures(self) -> None:
        """The exchange is open again, as far as is known."""
        self._backoff = Backoff(SECOND_US, LONGEST_SECONDS * SECOND_US)
        self._closed_until_seconds = 0.0
        self.is_failing = self.is_refusing = False


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_SECOND)
