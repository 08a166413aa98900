"""Define how a process stops, when it is ready, and how hanging loops are found.

A loop never asks the event itself but a WatchedStopping, so that asking whether to stop also proves that the loop runs.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

Readiness = Callable[[], str | None]
"""Why a part of this process is not ready, in words for an operator; None when it is. It answers at once."""

LATCH_SECONDS = 180.0


def why_not_ready(parts: Iterable[Readiness]) -> list[str]:
    return [reason for part in parts if (reason := part()) is not None]


class Latch:
    """A filter that keeps readiness from flapping: a reason counts only after it has lasted for some minutes."""

    def __init__(self, seconds: float = LATCH_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ready_seconds: float | None = None  # when it last was

    def __call__(self, reason: str | None) -> str | None:
        """Return the reason, or None if there was a time without one recently."""
        now_seconds = self._clock()
        if reason is None:
            self._ready_seconds = now_seconds
        is_recent = self._ready_seconds is not None and now_seconds - self._ready_seconds < self._seconds
        return None if is_recent else reason


class Stopping(Protocol):
    """Event that is set when the process, or a part of it, is asked to stop: threading's or gevent's Event."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class StoppedError(Exception):
    """The work was given up because the process is stopping. This is not a failure."""


def pause(stopping: Stopping, seconds: float) -> None:
    """Sleep for this long. Raise StoppedError as soon as the process is asked to stop."""
    if stopping.wait(seconds):
        raise StoppedError


Clock = Callable[[], float]


class Heartbeats:
    """The times when the loops of this process ran last. A loop is late if one pass took longer than it may."""

    def __init__(self, allowed_seconds: float = 30, clock: Clock = time.monotonic) -> None:
        self._allowed_seconds = allowed_seconds
        self._clock = clock
        self._beats: dict[str, Heartbeat] = {}

    def of(self, name: str, allowed_seconds: float | None = None) -> "Heartbeat":
        """Return a new heartbeat for a loop. Raise ValueError if the name is taken."""
        if name in self._beats:
            raise ValueError(f"two loops are called {name}")
        allowed = self._allowed_seconds if allowed_seconds is None else allowed_seconds
        self._beats[name] = Heartbeat(allowed, self._clock)
        return self._beats[name]

    def late(self) -> list[str]:
        """Return the names of the loops that are late."""
        now = self._clock()
        return [name for name, beat in self._beats.items() if beat.due < now]


class Heartbeat:
    def __init__(self, allowed_seconds: float, clock: Clock) -> None:
        self._allowed_seconds = allowed_seconds
        self._clock = clock
        self.beat()

    def beat(self, idle_seconds: float = 0) -> None:
        """Note that the loop runs now, and will be idle for this long before it works again."""
        self.due = self._clock() + idle_seconds + self._allowed_seconds

    def end(self) -> None:
        """Stop expecting this loop to run."""
        self.due = math.inf


class WatchedStopping:
    """The stop event as one loop sees it: asking it counts as a heartbeat."""

    def __init__(self, stopping: Stopping, heartbeat: Heartbeat) -> None:
        self._stopping = stopping
        self._heartbeat = heartbeat

    def is_set(self) -> bool:
        return self._turned(self._stopping.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        self._heartbeat.beat(math.inf if timeout is None else timeout)
        return self._turned(self._stopping.wait(timeout))

    def _turned(self, is_set: bool) -> bool:
        # A loop may take its time after it was asked to stop: systemd has its own limit for that.
        if is_set:
            self._heartbeat.end()
        else:
            self._heartbeat.beat()
        return is_set
