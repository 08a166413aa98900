from collections.abc import Callable

from app.kalshi.batches import BOOKS_PER_CALL
from app.metrics.registry import WAITING
from app.registry.rereads import Rereads
from app.stopping import Stopping
from workers.component import Component

IDLE_SECONDS = 0.2
TICKERS_AT_ONCE = BOOKS_PER_CALL


class Rereader:
    """Asks REST for the markets, or the events, to which something happened."""

    def __init__(
        self,
        kind: str,
        rereads: Rereads,
        read_named: Callable[[list[str]], set[str]],
        stopping: Stopping,
    ) -> None:
        self.component = Component(f"{kind}_rereader", stopping)
        self._waiting = WAITING.labels(kind)
        self._rereads = rereads
        self._read_named = read_named
        self._stopping = stopping

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> bool:
        """Whether there may be more."""
        taken = self._rereads.take(TICKERS_AT_ONCE)
        self._waiting.set(len(self._rereads))
        if not taken:
            return False
        found = set[str]()
        is_done = False
        try:
            is_done = self.component.tries(lambda: found.update(self._read_named(list(taken))))
        finally:
            if is_done:
                self._rereads.settle(taken, found)
            else:
                self._rereads.put_back(taken)
        return len(taken) == TICKERS_AT_ONCE

    def _loop(self) -> None:
        while not self._stopping.wait(0 if self.step() else IDLE_SECONDS):
            continue
