"""Compute waiting times after failures and refusals. The classes here decide; the caller does the sleeping."""

import random
import time
from collections.abc import Callable, Hashable
from random import Random
from typing import Generic, NamedTuple, TypeVar

SECOND_US = 1_000_000


class Backoff:
    """Exponential backoff for refused commands: each refusal doubles it, a success resets it.

    With `random` it is shortened by up to a half, so that processes that were refused together do not return together.
    """

    def __init__(
        self, first_us: int = SECOND_US // 10, longest_us: int = 60 * SECOND_US, random: Random | None = None
    ) -> None:
        self._first_us = first_us
        self._longest_us = longest_us
        self._next_us = first_us
        self._random = random
        self.until_us = 0

    def refused(self, now_us: int) -> None:
        # Refusals during a wait count once: several commands may have been under way.
        if now_us >= self.until_us:
            share = 1.0 if self._random is None else self._random.uniform(0.5, 1)
            self.until_us = now_us + int(self._next_us * share)
            self._next_us = min(2 * self._next_us, self._longest_us)

    def granted(self) -> None:
        self._next_us = self._first_us

    def lasts(self, now_us: int) -> bool:
        return now_us < self.until_us


FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
HEALTHY_SECONDS = 60.0


class ReconnectBackoff:
    """Backoff for opening a socket again: a random part of a limit that doubles until one socket lasts for a minute."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit_seconds = FIRST_SECONDS
        self._opened_seconds: float | None = None

    def opened(self, now_seconds: float) -> None:
        self._opened_seconds = now_seconds

    def reset(self) -> None:
        self._limit_seconds = FIRST_SECONDS

    def delay_seconds(self, now_seconds: float) -> float:
        """Return how long to wait after a socket ended."""
        opened_seconds, self._opened_seconds = self._opened_seconds, None
        if opened_seconds is not None and now_seconds - opened_seconds >= HEALTHY_SECONDS:
            self._limit_seconds = FIRST_SECONDS
        limit_seconds = self._limit_seconds
        self._limit_seconds = min(2 * limit_seconds, LONGEST_SECONDS)
        return self._random.uniform(0, limit_seconds)


FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0
SLOWING_DOWN = 1.5


class MergeBackoff:
    """The pause before the next look for rows.

    No pause while there is more, a growing one while nothing new arrives, and an exponential one with jitter while it
    fails, so that processes do not retry together.
    """

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


# Backoff by key, so that what failed does not delay the others.

Key = TypeVar("Key", bound=Hashable)

FIRST_DELAY_SECONDS = 30.0
LONGEST_DELAY_SECONDS = 3_600.0


class _Pause(NamedTuple):
    seconds: float
    ends: float


class RetryLater(Generic[Key]):
    """Exponential backoff for each of many keys. A key without a failure for a long time is forgotten."""

    def __init__(
        self,
        first_seconds: float = FIRST_DELAY_SECONDS,
        longest_seconds: float = LONGEST_DELAY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._pauses: dict[Key, _Pause] = {}  # bounded by what fails in twice the longest pause

    def __len__(self) -> int:
        return len(self._pauses)

    def failed(self, key: Key) -> float:
        """Put the key off, for twice as long as last time. Return the delay in seconds."""
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
