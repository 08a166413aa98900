import time
from collections.abc import Callable


class Clock:
    """The exchange's own time: starts where it is told, and runs as fast as it is told."""

    def __init__(self, start_us: int, speed: float = 1.0, wall: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall = wall
        self._speed = speed
        self._from_us = start_us
        self._since_ns: int | None = wall()
        self.start_us = start_us

    def now_us(self) -> int:
        if self._since_ns is None:
            return self._from_us
        return self._from_us + int((self._wall() - self._since_ns) / 1_000 * self._speed)

    def now_ms(self) -> int:
        return self.now_us() // 1_000

    def stop(self) -> None:
        self._from_us = self.now_us()
        self._since_ns = None

    def go_on(self) -> None:
        if self._since_ns is None:
            self._since_ns = self._wall()

    @property
    def is_running(self) -> bool:
        return self._since_ns is not None
