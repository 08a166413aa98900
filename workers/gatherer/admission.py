"""The queue in which all sockets of the process wait to connect.

In: attempts, their outcomes, and whether the exchange is open. Out: a turn to dial. The order and the backoff are
decided by app/subscriptions/dial_queue.py, which is pure; this module adds the waiting and the waking.
"""

import math
import time
from collections.abc import Callable
from random import Random

import gevent

from app.kalshi.errors import HandshakeRefusedError, SocketError
from app.runtime import logs
from app.runtime.events import Event
from app.subscriptions.dial_queue import DialQueue, DialTurn

log = logs.get(__name__)

CONNECTS_PER_SECOND = 15
DENIED = (401, 403)
# While the exchange reports itself closed, one attempt is made at this interval: the report may be wrong. After one
# that succeeds, the next follows immediately.
CLOSED_SECONDS = 60
LOOK_SECONDS = 1.0


class Admission:
    """The queue for opening sockets, which limits the rate at which the process connects.

    When the exchange reports that it is open again, or accepts a connection after refusing some, backoff ends and every
    connection waits only for its turn.
    """

    def __init__(
        self,
        stopping: Event,
        exchange_is_open: Callable[[], bool],  # according to its own report
        connects_per_second: int = CONNECTS_PER_SECOND,
    ) -> None:
        self._stopping = stopping
        self._exchange_is_open = exchange_is_open
        self._queue = DialQueue(connects_per_second, Random(), time.monotonic())  # noqa: S311 - jitter, not a secret
        self._wakers: dict[DialTurn, Event] = {}
        self._closed_since_seconds: float | None = None
        self._openings = 0

    @property
    def is_refusing(self) -> bool:
        """Return True if the exchange answers handshakes but refuses them."""
        return self._queue.is_refusing

    def wait(self, *, is_of_books: bool) -> DialTurn | None:
        """Wait for a turn to dial: opened() or failed() must follow. Return None if the process is stopping."""
        turn = self._queue.join(is_of_books=is_of_books)
        waker = self._wakers[turn] = Event()
        try:
            # A loop of its own: it waits for one turn, and the turn before it may wake it.
            while not self._stopping.is_set():
                waker.clear()
                wait_seconds = self._seconds_until(turn)
                if not wait_seconds:
                    return turn
                gevent.wait([self._stopping, waker], min(wait_seconds, LOOK_SECONDS), count=1)
            return None
        finally:
            # Whether it dials or gives up, the next in the queue may be due now.
            self._queue.leave(turn)
            del self._wakers[turn]
            self._wake_first()

    def opened(self, turn: DialTurn) -> None:
        """Note that a socket opened. If that ends a series of failures, every pause() returns immediately."""
        if self._queue.opened(turn):
            self._openings += 1
        if self._closed_since_seconds is not None:
            self._closed_since_seconds = -math.inf
        self._wake_first()

    def failed(self, turn: DialTurn, error: SocketError) -> None:
        """Note that a dial failed: the next ones follow one at a time, with backoff."""
        is_refused = isinstance(error, HandshakeRefusedError)
        is_denied = isinstance(error, HandshakeRefusedError) and error.status in DENIED
        self._queue.failed(turn, time.monotonic(), is_refused=is_refused, is_denied=is_denied)
        self._wake_first()

    def pause(self, seconds: float) -> bool:
        """Wait this long, or until the exchange accepts connections again. Return True in the latter case."""
        until_seconds, openings = time.monotonic() + seconds, self._openings
        # A loop of its own: one wait that ends early when the exchange is back.
        while (left_seconds := until_seconds - time.monotonic()) > 0 and not self._stopping.is_set():
            self._check_exchange()
            if self._openings != openings:
                return True
            self._stopping.wait(min(left_seconds, LOOK_SECONDS))
        return False

    def _seconds_until(self, turn: DialTurn) -> float:
        self._check_exchange()
        if self._closed_since_seconds is not None:
            wait_seconds = self._closed_since_seconds + CLOSED_SECONDS - time.monotonic()
            if wait_seconds > 0:
                return wait_seconds
        wait_seconds = self._queue.take(turn, time.monotonic())
        # This turn is the attempt of a closed exchange: the next one follows after the same interval.
        if not wait_seconds and self._closed_since_seconds is not None:
            self._closed_since_seconds = time.monotonic()
        return wait_seconds

    def _check_exchange(self) -> None:
        is_open, was_open = self._exchange_is_open(), self._closed_since_seconds is None
        if is_open and not was_open:
            self._closed_since_seconds = None
            self._openings += 1
            self._queue.forget_failures()
            self._wake_first()
        elif was_open and not is_open:
            self._closed_since_seconds = time.monotonic()

    def _wake_first(self) -> None:
        turn = self._queue.first
        if turn is not None:
            self._wakers[turn].set()
