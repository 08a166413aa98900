import threading
import time
from collections.abc import Callable

from app.kalshi.token_bucket import BASIC, NS_PER_SECOND, TOKENS_PER_CALL, Limits, TokenBucket
from app.kalshi.waiting_line import Priority, Ticket, WaitingLine
from app.stopping import Stopping, pause


class RequestBudget:
    """The account's tokens, shared by all who call the exchange. Calls are safe from threads and from greenlets."""

    def __init__(
        self, limits: Limits = BASIC, max_waiting: int = 1_000, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._bucket = TokenBucket(limits, clock_ns())
        self._line = WaitingLine(self._bucket, max_waiting)
        self.waits = 0
        self.waited_ns = 0

    def acquire(self, priority: Priority, stopping: Stopping, tokens: int = TOKENS_PER_CALL) -> None:
        """Returns once so many tokens are taken; raises StoppedError when asked to stop before."""
        with self._lock:
            ticket = self._line.join(priority, tokens)
        try:
            self._wait_for(ticket, stopping)
        finally:
            with self._lock:
                self._line.leave(ticket)

    def empty(self) -> None:
        """The exchange says that there is nothing left: others use the same account, or its clock is behind ours."""
        with self._lock:
            self._bucket.empty(self._clock_ns())

    def change(self, limits: Limits) -> None:
        with self._lock:
            self._bucket.change(limits, self._clock_ns())

    @property
    def waiting(self) -> int:
        return len(self._line)

    def _wait_for(self, ticket: Ticket, stopping: Stopping) -> None:
        started_ns = self._clock_ns()
        waited = False
        while wait_ns := self._pay(ticket):
            waited = True
            pause(stopping, wait_ns / NS_PER_SECOND)
        if waited:
            with self._lock:
                self.waits += 1
                self.waited_ns += self._clock_ns() - started_ns

    def _pay(self, ticket: Ticket) -> int:
        with self._lock:
            return self._line.pay(ticket, self._clock_ns())
