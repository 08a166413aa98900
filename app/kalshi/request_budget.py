import bisect
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from app.runtime.health import Stopping, pause

TOKENS_PER_CALL = 10
NS_PER_SECOND = 1_000_000_000


class BudgetLimits(NamedTuple):
    """How the exchange refills the bucket of an account, and how much it holds."""

    tokens_per_second: int
    capacity: int

    def shared_by(self, processes: int) -> "BudgetLimits":
        """The part of one of so many processes that use the same key: the exchange has one bucket for all of them."""
        return BudgetLimits(
            max(self.tokens_per_second // processes, 1), max(self.capacity // processes, TOKENS_PER_CALL)
        )


BASIC = BudgetLimits(tokens_per_second=200, capacity=600)


class TokenBucket:
    """Counts in billionths of a token, which makes nanoseconds times tokens per second exact."""

    def __init__(self, limits: BudgetLimits, now_ns: int) -> None:
        self._limits = limits
        self._tokens_e9 = limits.capacity * NS_PER_SECOND
        self._refilled_ns = now_ns

    def ns_until(self, tokens: int, now_ns: int) -> int:
        """When so many tokens will have come in, if none is taken before; 0 if they are there."""
        self._refill(now_ns)
        missing_e9 = tokens * NS_PER_SECOND - self._tokens_e9
        return max(-(-missing_e9 // self._limits.tokens_per_second), 0)

    def take(self, tokens: int) -> None:
        self._tokens_e9 -= tokens * NS_PER_SECOND

    def empty(self, now_ns: int) -> None:
        self._refill(now_ns)
        self._tokens_e9 = 0

    def change(self, limits: BudgetLimits, now_ns: int) -> None:
        self._refill(now_ns)
        self._limits = limits
        self._refill(now_ns)

    def _refill(self, now_ns: int) -> None:
        gained_e9 = (now_ns - self._refilled_ns) * self._limits.tokens_per_second
        self._tokens_e9 = min(self._tokens_e9 + gained_e9, self._limits.capacity * NS_PER_SECOND)
        self._refilled_ns = now_ns


class Priority(IntEnum):
    """Who asks. The lesser number goes first."""

    RECONCILE = 0
    REPAIR = 1
    POLLING = 2


class Reservation(NamedTuple):
    """A place in the line. Tickets sort as they are served: by priority, then in the order of arrival."""

    priority: Priority
    number: int
    tokens: int


class QueueFullError(Exception):
    """More callers wait at once than the program has any reason to start."""


class RequestQueue:
    """Who may take tokens from the bucket next. Pure: the time is told, and nobody is woken."""

    def __init__(self, bucket: TokenBucket, max_waiting: int) -> None:
        self._bucket = bucket
        self._max_waiting = max_waiting
        self._waiting: list[Reservation] = []
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, priority: Priority, tokens: int) -> Reservation:
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError(f"{self._max_waiting} callers wait for the request budget already")
        ticket = Reservation(priority, self._next_number, tokens)
        self._next_number += 1
        bisect.insort(self._waiting, ticket)
        return ticket

    def pay(self, ticket: Reservation, now_ns: int) -> int:
        """0: the tokens are taken and the ticket has left the line. Else the nanoseconds to wait before the next try.

        Whoever is ahead is counted in: a ticket that tries first may pay if enough is left for all who are before it.
        So nobody needs to be woken, and one that wakes late holds up none behind it.
        """
        tokens_ahead = sum(other.tokens for other in self._waiting if other <= ticket)
        wait_ns = self._bucket.ns_until(tokens_ahead, now_ns)
        if wait_ns == 0:
            self._bucket.take(ticket.tokens)
            self._waiting.remove(ticket)
        return wait_ns

    def leave(self, ticket: Reservation) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)


class RequestBudget:
    """The account's tokens, shared by all who call the exchange. Calls are safe from threads and from greenlets."""

    def __init__(
        self, limits: BudgetLimits = BASIC, max_waiting: int = 1_000, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._bucket = TokenBucket(limits, clock_ns())
        self._line = RequestQueue(self._bucket, max_waiting)
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

    def change(self, limits: BudgetLimits) -> None:
        with self._lock:
            self._bucket.change(limits, self._clock_ns())

    @property
    def waiting(self) -> int:
        return len(self._line)

    def _wait_for(self, ticket: Reservation, stopping: Stopping) -> None:
        started_ns = self._clock_ns()
        waited = False
        while wait_ns := self._pay(ticket):
            waited = True
            pause(stopping, wait_ns / NS_PER_SECOND)
        if waited:
            with self._lock:
                self.waits += 1
                self.waited_ns += self._clock_ns() - started_ns

    def _pay(self, ticket: Reservation) -> int:
        with self._lock:
            return self._line.pay(ticket, self._clock_ns())
