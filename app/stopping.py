from typing import Protocol


class Stopping(Protocol):
    """Set when the process, or a part of it, is asked to stop: threading's or gevent's Event."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class StoppedError(Exception):
    """What was asked for is given up, since we are stopping. Not a failure."""


def pause(stopping: Stopping, seconds: float) -> None:
    """Sleeps so long, or raises as soon as we are stopping."""
    if stopping.wait(seconds):
        raise StoppedError
