"""How far a long first sync is, and how long it will take, in words.

In: how much is done, noted now and then. Out: the rate of the last minute, and an estimate if the total is known.
"""

from collections import deque

from app.status.verdict import age_words

WINDOW_SECONDS = 60.0
LEAST_SECONDS = 1.0


class Progress:
    """The rate at which something advances. After a setback it is measured anew."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque()  # bounded by the window: at most one a second

    def note(self, done: int, now_seconds: float) -> None:
        if self._noted and done < self._noted[-1][1]:
            self._noted.clear()
        if self._noted and now_seconds < self._noted[-1][0] + LEAST_SECONDS:
            return
        self._noted.append((now_seconds, done))
        while self._noted[0][0] < now_seconds - WINDOW_SECONDS:
            self._noted.popleft()

    def rate(self) -> float | None:
        """Return how much is done a second. Return None if it is not known yet."""
        if len(self._noted) < 2:
            return None
        (began_seconds, before), (now_seconds, done) = self._noted[0], self._noted[-1]
        return (done - before) / (now_seconds - began_seconds)

    def words(self, remaining: int | None = None) -> str:
        """Return the rate, and how long the rest will take if it is known; "" before anything is known."""
        rate = self.rate()
        if rate is None:
            return ""
        if not rate:
            return ", standing still"
        pace = f", {rate:,.0f} a second" if rate >= 1 else f", one in {1 / rate:,.0f} s"
        return pace if remaining is None else f"{pace}, about {age_words(max(1.0, remaining / rate))} to go"
