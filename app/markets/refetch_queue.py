"""The queue of tickers to fetch again from REST.

The stream announces changes earlier than REST shows them, because answers pass through a cache of 15 seconds. So a
ticker is fetched twice: soon after its announcement, and once more when no cache can hide the change.
"""

import heapq
import time
from collections.abc import Callable
from typing import NamedTuple

from app.metrics.gatherer import LEFT

SECOND_US = 1_000_000
SOON_US = SECOND_US
# Answers pass through a cache of 15 seconds: only a later request is certain to show what was announced.
CONFIRMING_US = 20 * SECOND_US
# A schedule that ends, and no Backoff: a hundred thousand tickers keep only their place in it.
BACK_OFF_US = tuple(seconds * SECOND_US for seconds in (2, 4, 8, 16, 32, 64))
CAPACITY = 100_000


def monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


class Wait(NamedTuple):
    due_us: int
    misses: int = 0
    is_last: bool = False


class RefetchQueue:
    """Tickers to fetch from REST: soon, and once more when no cache can hide the change.

    A ticker that is not found is retried at growing intervals, and then left to the next walk over all markets.
    """

    def __init__(self, kind: str, capacity: int = CAPACITY, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._kind = kind
        self._capacity = capacity
        self._clock_us = clock_us
        self._waits: dict[str, Wait] = {}
        # Bounded by the capacity: a replaced entry stays for a minute at most.
        self._queue: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._waits)

    def want(self, ticker: str) -> None:
        """Fetch the ticker soon: a change of it was announced."""
        wait = self._waits.get(ticker)
        if wait is None or wait.is_last:
            self._put(ticker, SOON_US)

    def confirm(self, ticker: str) -> None:
        """Fetch the ticker once, when the cache has expired: the clock changed it, or it was found just now."""
        if ticker not in self._waits:
            self._put(ticker, CONFIRMING_US, is_last=True)

    def take(self, limit: int) -> dict[str, Wait]:
        """Return the tickers that are due. The caller passes them to settle() or put_back()."""
        now_us = self._clock_us()
        taken: dict[str, Wait] = {}
        while self._queue and len(taken) < limit and self._queue[0][0] <= now_us:
            due_us, ticker = heapq.heappop(self._queue)
            wait = self._waits.get(ticker)
            if wait is not None and wait.due_us == due_us:
                taken[ticker] = self._waits.pop(ticker)
        return taken

    def settle(self, taken: dict[str, Wait], found: set[str]) -> list[str]:
        """Queue the next fetch of each ticker. Return the ones that are given up after too many misses."""
        left: list[str] = []
        for ticker, wait in taken.items():
            if ticker in self._waits:
                continue
            if ticker in found:
                if not wait.is_last:
                    self.confirm(ticker)
            elif wait.misses < len(BACK_OFF_US):
                self._put(ticker, BACK_OFF_US[wait.misses], wait.misses + 1, is_last=wait.is_last)
            else:
                left.append(ticker)
        LEFT.labels(self._kind).inc(len(left))
        return left

    def put_back(self, taken: dict[str, Wait]) -> None:
        """Queue the tickers again later: they could not be fetched now."""
        for ticker, wait in taken.items():
            if ticker not in self._waits:
                self._put(ticker, BACK_OFF_US[-1], wait.misses, is_last=wait.is_last)

    def _put(self, ticker: str, delay_us: int, misses: int = 0, *, is_last: bool = False) -> None:
        if ticker not in self._waits and len(self._waits) >= self._capacity:
            LEFT.labels(self._kind).inc()
            return
        wait = self._waits[ticker] = Wait(self._clock_us() + delay_us, misses, is_last)
        heapq.heappush(self._queue, (wait.due_us, ticker))
