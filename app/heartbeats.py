import math
import time
from collections.abc import Callable

from app.stopping import Stopping

Clock = Callable[[], float]


class Heartbeats:
    """Which loops of this process ran lately. A loop is late when its turn took longer than it is allowed to."""

    def __init__(self, allowed_seconds: float = 30, clock: Clock = time.monotonic) -> None:
        self._allowed_seconds = allowed_seconds
        self._clock = clock
        self._beats: dict[str, Heartbeat] = {}

    def of(self, name: str, allowed_seconds: float | None = None) -> "Heartbeat":
        if name in self._beats:
            raise ValueError(f"two loops are called {name}")
        allowed = self._allowed_seconds if allowed_seconds is None else allowed_seconds
        self._beats[name] = Heartbeat(allowed, self._clock)
        return self._beats[name]

    def late(self) -> list[str]:
        now = self._clock()
        return [name for name, beat in self._beats.items() if beat.due < now]


class Heartbeat:
    def __init__(self, allowed_seconds: float, clock: Clock) -> None:
        self._allowed_seconds = allowed_seconds
        self._clock = clock
        self.beat()

    def beat(self, idle_seconds: float = 0) -> None:
        """The loop turns now, and rests for so long before it works again."""
        self.due = self._clock() + idle_seconds + self._allowed_seconds

    def end(self) -> None:
        self.due = math.inf


class WatchedStopping:
    """What one loop asks whether to stop; that it asks shows that it runs."""

    def __init__(self, stopping: Stopping, heartbeat: Heartbeat) -> None:
        self._stopping = stopping
        self._heartbeat = heartbeat

    def is_set(self) -> bool:
        return self._turned(self._stopping.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        self._heartbeat.beat(math.inf if timeout is None else timeout)
        return self._turned(self._stopping.wait(timeout))

    def _turned(self, is_set: bool) -> bool:
        # What a loop does after it was asked to stop may take its time: systemd has a limit of its own for that.
        if is_set:
            self._heartbeat.end()
        else:
            self._heartbeat.beat()
        return is_set
