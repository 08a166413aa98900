import time

from app.kalshi.token_bucket import Limits, TokenBucket
from app.stopping import Stopping

CONNECTS_PER_SECOND = 15


class Admission:
    """Where all sockets of the process queue up to be opened, so that they never stampede."""

    def __init__(self, stopping: Stopping, connects_per_second: int = CONNECTS_PER_SECOND) -> None:
        self._stopping = stopping
        self._bucket = TokenBucket(Limits(connects_per_second, connects_per_second), time.monotonic_ns())

    def wait(self) -> None:
        """Returns at our turn, or when we are stopping."""
        wait_ns = self._bucket.ns_until(1, time.monotonic_ns())
        # Taken before waiting: whoever comes next queues behind.
        self._bucket.take(1)
        self._stopping.wait(wait_ns / 1_000_000_000)
