import time
from collections.abc import Callable, Iterable

Readiness = Callable[[], str | None]
"""Why a part of this process is not ready, in words for an operator; None when it is. It answers at once."""

LATCH_SECONDS = 180.0


def why_not_ready(parts: Iterable[Readiness]) -> list[str]:
    return [reason for part in parts if (reason := part()) is not None]


class Latch:
    """Keeps what was ready from flapping: a reason counts once there has been one for some minutes."""

    def __init__(self, seconds: float = LATCH_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ready_seconds: float | None = None  # when it last was

    def __call__(self, reason: str | None) -> str | None:
        """Return the reason, or None if there was none lately."""
        now_seconds = self._clock()
        if reason is None:
            self._ready_seconds = now_seconds
        is_recent = self._ready_seconds is not None and now_seconds - self._ready_seconds < self._seconds
        return None if is_recent else reason
