"""A cache of one answer for a few seconds, alone in its file since both endpoints and pages use it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class TtlCache(Generic[Value]):
    """A value that is fetched at most once per period, however many ask for it. Callers wait while one fetches it."""

    def __init__(self, ask: Callable[[], Value], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._asking = threading.Lock()
        self._known: tuple[float, Value] | None = None

    def __call__(self) -> Value:
        with self._asking:
            if self._known is None or self._clock() - self._known[0] >= self._seconds:
                value = self._ask()
                self._known = (self._clock(), value)
            return self._known[1]
