"""The request budget: the exchange's token bucket, rebuilt here, and a queue of callers by priority.

The exchange answers 429 once its bucket is empty. We spend the same tokens before each call, so that 429 stays an
exception. `RequestBudget` adds the lock and the waiting to two pure classes, which take the time as a parameter.
"""

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
    """The refill rate and the capacity of an account's bucket at the exchange."""

    tokens_per_second: int
    capacity: int

    def shared_by(self, processes: int) -> "BudgetLimits":
        """Return one process's share of the bucket, which all processes with the same key use together."""
        # A share of less than one call's tokens would never be enough for a call.
        return BudgetLimits(
            max(self.tokens_per_second // processes, 1), max(self.capacity // processes, TOKENS_PER_CALL)
        )


BASIC = BudgetLimits(tokens_per_second=200, capacity=600)


class TokenBucket:
    """A token bucket. It counts in billionths of a token, so nanoseconds times tokens per second are exact."""

    def __init__(self, limits: BudgetLimits, now_ns: int) -> None:
        self._limits = limits
        self._tokens_e9 = limits.capacity * NS_PER_SECOND
        self._refilled_ns = now_ns

    def ns_until(self, tokens: int, now_ns: int) -> int:
        """Return the nanoseconds until this many tokens are available if nothing is taken before; 0 if they are."""
        self._refill(now_ns)
        missing_e9 = tokens * NS_PER_SECOND - self._tokens_e9
        # Rounded up: a caller that woke a nanosecond early would have to wait again.
        return max(-(-missing_e9 // self._limits.tokens_per_second), 0)

    def take(self, tokens: int) -> None:
        self._tokens_e9 -= tokens * NS_PER_SECOND

    def empty(self, now_ns: int) -> None:
        self._refill(now_ns)
        self._tokens_e9 = 0

    def change(self, limits: BudgetLimits, now_ns: int) -> None:
        # The gain so far is counted at the old rate; the second call applies the new capacity.
        self._refill(now_ns)
        self._limits = limits
        self._refill(now_ns)

    def _refill(self, now_ns: int) -> None:
        gained_e9 = (now_ns - self._refilled_ns) * self._limits.tokens_per_second
        self._tokens_e9 = min(self._tokens_e9 + gained_e9, self._limits.capacity * NS_PER_SECOND)
        self._refilled_ns = now_ns


class Priority(IntEnum):
    """The purpose of a call. The lower number is served first."""

    RECONCILE = 0
    REPAIR = 1
    POLLING = 2


class Reservation(NamedTuple):
    """A place in the queue. Reservations sort in the order of service: by priority, then by arrival."""

    priority: Priority
    number: int
    tokens: int


class QueueFullError(Exception):
    """More callers are waiting than the program has any reason to start."""


class RequestQueue:
    """The order in which callers take tokens from the bucket. Pure: the time is a parameter, and no one is woken."""

    def __init__(self, bucket: TokenBucket, max_waiting: int) -> None:
        self._bucket = bucket
        self._max_waiting = max_waiting
        self._waiting: list[Reservation] = []
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, priority: Priority, tokens: int) -> Reservation:
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError(f"{self._max_waiting} callers already wait for the request budget")
        reservation = Reservation(priority, self._next_number, tokens)
        self._next_number += 1
        bisect.insort(self._waiting, reservation)
        return reservation

    def pay(self, reservation: Reservation, now_ns: int) -> int:
        """Take the tokens, leave the queue and return 0; or return the nanoseconds to wait before the next try.

        The tokens of all reservations ahead are counted too: a reservation that tries first may pay if enough is left
        for the ones before it. So callers need not wake each other, and one that wakes late does not delay the rest.
        """
        tokens_ahead = sum(other.tokens for other in self._waiting if other <= reservation)
        wait_ns = self._bucket.ns_until(tokens_ahead, now_ns)
        if wait_ns == 0:
            self._bucket.take(reservation.tokens)
            self._waiting.remove(reservation)
        return wait_ns

    def leave(self, reservation: Reservation) -> None:
        if reservation in self._waiting:
            self._waiting.remove(reservation)


class RequestBudget:
    """The account's tokens, shared by all callers of the exchange. Safe for threads and for greenlets."""

    def __init__(
        self, limits: BudgetLimits = BASIC, max_waiting: int = 1_000, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._bucket = TokenBucket(limits, clock_ns())
        self._queue = RequestQueue(self._bucket, max_waiting)
        self.waits = 0
        self.waited_ns = 0

    def acquire(self, priority: Priority, stopping: Stopping, tokens: int = TOKENS_PER_CALL) -> None:
        """Return once the tokens are taken. Raise StoppedError if the process is asked to stop before."""
        with self._lock:
            reservation = self._queue.join(priority, tokens)
        try:
            self._wait_for(reservation, stopping)
        finally:
            with self._lock:
                self._queue.leave(reservation)

    def empty(self) -> None:
        """Empty the bucket after a 429.

        Others use the same account, or our bucket has refilled ahead of the exchange's.
        """
        with self._lock:
            self._bucket.empty(self._clock_ns())

    def change(self, limits: BudgetLimits) -> None:
        with self._lock:
            self._bucket.change(limits, self._clock_ns())

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def _wait_for(self, reservation: Reservation, stopping: Stopping) -> None:
        started_ns = self._clock_ns()
        waited = False
        while wait_ns := self._pay(reservation):
            waited = True
            pause(stopping, wait_ns / NS_PER_SECOND)
        if waited:
            with self._lock:
                self.waits += 1
                self.waited_ns += self._clock_ns() - started_ns

    def _pay(self, reservation: Reservation) -> int:
        with self._lock:
            return self._queue.pay(reservation, self._clock_ns())
