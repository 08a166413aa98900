"""How often an address may present a wrong token."""

import time
from collections import OrderedDict
from collections.abc import Callable


class FailureLimit:
    """So many in a time; after that, none until it is over. Of the addresses that failed, the latest are remembered."""

    def __init__(
        self,
        most: int = 10,
        period_seconds: float = 60,
        most_addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._period_seconds = period_seconds
        self._most_addresses = most_addresses
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, and how many

    def wait_seconds(self, address: str) -> float:
        """For how long it may not try again; 0: it may."""
        since, count = self._current(address)
        return self._period_seconds - (self._clock() - since) if count >= self._most else 0

    def failed(self, address: str) -> None:
        since, count = self._current(address)
        self._failures[address] = (since, count + 1)
        self._failures.move_to_end(address)
        if len(self._failures) > self._most_addresses:
            self._failures.popitem(last=False)

    def _current(self, address: str) -> tuple[float, int]:
        now = self._clock()
        since, count = self._failures.get(address, (now, 0))
        return (since, count) if now - since < self._period_seconds else (now, 0)
