import time
from collections.abc import Callable


class TokenBucket:
    """Refilled continuously; holds what was not used, up to its capacity."""

    def __init__(self, per_second: float, capacity: float, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self.capacity = capacity
        self._tokens = capacity
        self._now_seconds = now_seconds
        self._filled_at = now_seconds()

    def take(self, tokens: float) -> bool:
        now = self._now_seconds()
        self._tokens = min(self.capacity, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True
