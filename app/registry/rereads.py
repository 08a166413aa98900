import heapq
from typing import NamedTuple

from app.metrics.registry import LEFT

SECOND_US = 1_000_000
SOON_US = SECOND_US
# Answers come through a cache of 15 seconds: only one that is asked for later is sure to show what was announced.
CONFIRMING_US = 20 * SECOND_US
BACK_OFF_US = tuple(seconds * SECOND_US for seconds in (2, 4, 8, 16, 32, 64))
CAPACITY = 100_000


class Wait(NamedTuple):
    due_us: int
    misses: int = 0
    is_last: bool = False


class Rereads:
    """Tickers that REST is to be asked for: soon, and once more when no cache can be in between. One that is not found
    is asked for again, less and less often, and then left to the next walk through all of them."""

    def __init__(self, kind: str, capacity: int = CAPACITY) -> None:
        self._kind = kind
        self._capacity = capacity
        self._waits: dict[str, Wait] = {}
        self._queue: list[
            tuple[int, str]
        ] = []  # bounded by the capacity: one that was overtaken stays for a minute at most

    def __len__(self) -> int:
        return len(self._waits)

    def want(self, ticker: str, now_us: int) -> None:
        """It was announced that something happened to it."""
        wait = self._waits.get(ticker)
        if wait is None or wait.is_last:
            self._put(ticker, Wait(now_us + SOON_US))

    def confirm(self, ticker: str, now_us: int) -> None:
        """By the clock something happened to it."""
        if ticker not in self._waits:
            self._put(ticker, Wait(now_us + CONFIRMING_US, is_last=True))

    def take(self, now_us: int, limit: int) -> dict[str, Wait]:
        """Those that are due. Whoever takes them settles them, or puts them back."""
        taken: dict[str, Wait] = {}
        while self._queue and len(taken) < limit and self._queue[0][0] <= now_us:
            due_us, ticker = heapq.heappop(self._queue)
            wait = self._waits.get(ticker)
            if wait is not None and wait.due_us == due_us:
                taken[ticker] = self._waits.pop(ticker)
        return taken

    def settle(self, taken: dict[str, Wait], found: set[str], now_us: int) -> None:
        for ticker, wait in taken.items():
            if ticker in self._waits:
                continue
            if ticker in found:
                if not wait.is_last:
                    self.confirm(ticker, now_us)
            elif wait.misses < len(BACK_OFF_US):
                due_us = now_us + BACK_OFF_US[wait.misses]
                self._put(ticker, wait._replace(due_us=due_us, misses=wait.misses + 1))
            else:
                LEFT.labels(self._kind).inc()

    def put_back(self, taken: dict[str, Wait], now_us: int) -> None:
        """They could not be asked for now."""
        for ticker, wait in taken.items():
            if ticker not in self._waits:
                self._put(ticker, wait._replace(due_us=now_us + BACK_OFF_US[-1]))

    def _put(self, ticker: str, wait: Wait) -> None:
        if ticker not in self._waits and len(self._waits) >= self._capacity:
            LEFT.labels(self._kind).inc()
            return
        self._waits[ticker] = wait
        heapq.heappush(self._queue, (wait.due_us, ticker))
