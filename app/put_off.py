"""What failed and is tried again later, so that it does not keep the others waiting."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_SECONDS = 30.0
LONGEST_SECONDS = 3_600.0


class _Pause(NamedTuple):
    seconds: float
    ends: float


class PutOff(Generic[Key]):
    """Exponential backoff of each of many things. One of which nothing was heard for long is forgotten."""

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._pauses: dict[Key, _Pause] = {}  # bounded by what fails in twice the longest pause

    def __len__(self) -> int:
        return len(self._pauses)

    def failed(self, key: Key) -> float:
        """Put it off, for twice as long as the last time. Return for how many seconds."""
        now = self._clock()
        self._pauses = {key: pause for key, pause in self._pauses.items() if pause.ends > now - self._longest_seconds}
        before = self._pauses.get(key)
        seconds = self._first_seconds if before is None else min(2 * before.seconds, self._longest_seconds)
        self._pauses[key] = _Pause(seconds, now + seconds)
        return seconds

    def succeeded(self, key: Key) -> None:
        self._pauses.pop(key, None)

    def is_due(self, key: Key) -> bool:
        pause = self._pauses.get(key)
        return pause is None or pause.ends <= self._clock()
