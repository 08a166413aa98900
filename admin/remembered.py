import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """What is asked for at most once in a while, however many look at it."""

    def __init__(self, ask: Callable[[], Value], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._known: tuple[float, Value] | None = None

    def __call__(self) -> Value:
        now = self._clock()
        if self._known is None or now - self._known[0] >= self._seconds:
            self._known = (now, self._ask())
        return self._known[1]
