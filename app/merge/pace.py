import random
from collections.abc import Callable

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0
SLOWING_DOWN = 1.5


class Pace:
    """How long to wait before looking again: not at all while there is more, longer while there is nothing new, and
    longer still, at a time that nobody else has, while it fails."""

    def __init__(self, busy_seconds: float, idle_seconds: float, chance: Callable[[], float] = random.random) -> None:
        self._busy_seconds = busy_seconds
        self._idle_seconds = idle_seconds
        self._chance = chance
        self._retry_seconds = FIRST_RETRY_SECONDS
        self.pause_seconds = 0.0

    def found(self, rows: int, *, has_more: bool = False) -> None:
        self._retry_seconds = FIRST_RETRY_SECONDS
        if has_more:
            self.pause_seconds = 0.0
        elif rows:
            self.pause_seconds = self._busy_seconds
        else:
            slower = max(self.pause_seconds * SLOWING_DOWN, self._busy_seconds)
            self.pause_seconds = min(slower, max(self._idle_seconds, self._busy_seconds))

    def failed(self) -> None:
        self.pause_seconds = self._retry_seconds * (0.5 + 0.5 * self._chance())
        self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
