import time
from collections.abc import Callable
from random import Random

import gevent
import gevent.event

from app.kalshi.errors import HandshakeRefusedError, SocketError
from app.runtime import logs
from app.subscriptions.dial_queue import DialQueue, DialTurn

log = logs.get(__name__)

CONNECTS_PER_SECOND = 15
DENIED = (401, 403)
# An exchange that is said to be closed is tried all the same now and then: the word may be wrong.
CLOSED_SECONDS = 60
LOOK_SECONDS = 1.0


class Admission:
    """Where all sockets of the process queue up to be opened, so that they never stampede.

    Once the exchange says that it is open again, or lets one in after it refused, nobody waits any longer than for its
    turn.
    """

    def __init__(
        self,
        stopping: gevent.event.Event,
        exchange_is_open: Callable[[], bool],  # as far as it says
        connects_per_second: int = CONNECTS_PER_SECOND,
    ) -> None:
        self._stopping = stopping
        self._exchange_is_open = exchange_is_open
        self._queue = DialQueue(connects_per_second, Random(), time.monotonic())  # noqa: S311 - no secret
        self._wakers: dict[DialTurn, gevent.event.Event] = {}
        self._closed_since_seconds: float | None = None
        self._openings = 0

    @property
    def is_refusing(self) -> bool:
        """Whether the exchange answers handshakes and lets nobody in."""
        return self._queue.is_refusing

    def wait(self, *, is_of_books: bool) -> DialTurn | None:
        """Return at our turn to dial: opened() or failed() must follow. None if we are stopping."""
        turn = self._queue.join(is_of_books=is_of_books)
        waker = self._wakers[turn] = gevent.event.Event()
        try:
            while not self._stopping.is_set():
                waker.clear()
                wait_seconds = self._seconds_until(turn)
                if not wait_seconds:
                    return turn
                gevent.wait([self._stopping, waker], min(wait_seconds, LOOK_SECONDS), count=1)
            return None
        finally:
            self._queue.leave(turn)
            del self._wakers[turn]
            self._wake_first()

    def opened(self, turn: DialTurn) -> None:
        if self._queue.opened(turn):
            self._openings += 1
        self._wake_first()

    def failed(self, turn: DialTurn, error: SocketError) -> None:
        is_refused = isinstance(error, HandshakeRefusedError)
        is_denied = isinstance(error, HandshakeRefusedError) and error.status in DENIED
        self._queue.failed(turn, time.monotonic(), is_refused=is_refused, is_denied=is_denied)
        self._wake_first()

    def rest(self, seconds: float) -> bool:
        """Wait so long, or until the exchange lets in again. Return True in the latter case."""
        until_seconds, openings = time.monotonic() + seconds, self._openings
        while (left_seconds := until_seconds - time.monotonic()) > 0 and not self._stopping.is_set():
            self._look_at_exchange()
            if self._openings != openings:
                return True
            self._stopping.wait(min(left_seconds, LOOK_SECONDS))
        return False

    def _seconds_until(self, turn: DialTurn) -> float:
        self._look_at_exchange()
        if self._closed_since_seconds is not None:
            wait_seconds = self._closed_since_seconds + CLOSED_SECONDS - time.monotonic()
            if wait_seconds > 0:
                return wait_seconds
        wait_seconds = self._queue.take(turn, time.monotonic())
        if not wait_seconds and self._closed_since_seconds is not None:
            self._closed_since_seconds = time.monotonic()
        return wait_seconds

    def _look_at_exchange(self) -> None:
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
