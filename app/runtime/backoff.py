"""Compute waiting times after failures and refusals. The classes here decide; the caller does the sleeping."""

import random
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

SECOND_US = 1_000_000


class Backoff:
    """Exponential backoff: each failure doubles the limit of the next wait, a success resets it.

    `jitter` is the random share of a wait: with 0 the wait is the limit itself, with 1 it is any part of the limit.
    With it, processes that failed together do not return together. A caller that sleeps uses failed(). A caller that
    goes on meanwhile uses failed_at(), and asks lasts() before its next attempt.
    """

    def __init__(
        self,
        first_seconds: float,
        longest_seconds: float,
        *,
        jitter: float = 0.0,
        shortest_seconds: float = 0.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_seconds = self._limit_seconds = min(first_seconds, longest_seconds)
        self._longest_seconds = longest_seconds
        self._jitter = jitter
        self._shortest_seconds = shortest_seconds
        self._chance = chance
        self.failures = 0  # since the last success
        self.until_us = 0

    def failed(self) -> float:
        """Return for how many seconds to wait before the next attempt."""
        limit_seconds = self._limit_seconds
        self.failures += 1
        self._limit_seconds = min(2 * limit_seconds, self._longest_seconds)
        least_seconds = max((1 - self._jitter) * limit_seconds, self._shortest_seconds)
        return least_seconds + (limit_seconds - least_seconds) * self._chance()

    def failed_at(self, now_us: int) -> float:
        """Begin a wait now, unless one lasts. Return how many seconds are left of it."""
        # Failures during a wait count once: several commands may have been under way.
        if not self.lasts(now_us):
            self.until_us = now_us + round(self.failed() * SECOND_US)
        return (self.until_us - now_us) / SECOND_US

    def succeeded(self) -> None:
        """Make the next wait as short as the first one. A wait that has begun still lasts."""
        self.failures = 0
        self._limit_seconds = self._first_seconds

    def lasts(self, now_us: int) -> bool:
        return now_us < self.until_us


Key = TypeVar("Key", bound=Hashable)

FIRST_DELAY_SECONDS = 30.0
LONGEST_DELAY_SECONDS = 3_600.0


class KeyedBackoff(Generic[Key]):
    """A backoff for each key, so that a failing one delays no other. Keys that no longer fail are forgotten."""

    def __init__(
        self,
        first_seconds: float = FIRST_DELAY_SECONDS,
        longest_seconds: float = LONGEST_DELAY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._backoffs: dict[Key, Backoff] = {}  # bounded by what fails in twice the longest wait

    def __len__(self) -> int:
        return len(self._backoffs)

    def failed(self, key: Key) -> float:
        """Postpone the key, for twice as long as last time. Return the delay in seconds."""
        now_us = self._now_us()
        oldest_us = now_us - round(self._longest_seconds * SECOND_US)
        self._backoffs = {each: backoff for each, backoff in self._backoffs.items() if backoff.until_us > oldest_us}
        if key not in self._backoffs:
            self._backoffs[key] = Backoff(self._first_seconds, self._longest_seconds)
        return self._backoffs[key].failed_at(now_us)

    def succeeded(self, key: Key) -> None:
        self._backoffs.pop(key, None)

    def is_due(self, key: Key) -> bool:
        backoff = self._backoffs.get(key)
        return backoff is None or not backoff.lasts(self._now_us())

    def _now_us(self) -> int:
        return round(self._clock() * SECOND_US)
