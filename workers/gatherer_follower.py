import random
from collections.abc import Callable
from datetime import UTC, datetime

from app import logs
from app.errors import DatabaseError
from app.metrics import coverage as metrics
from app.offload import Offload
from app.stopping import Stopping

log = logs.get(__name__)

LONGEST_RETRY_SECONDS = 30.0


class GathererFollower:
    """Copies what one database of one gatherer knows into production, round after round; waits for it when it is away.

    Each has its own: a gatherer that is down or slow holds up no other.
    """

    def __init__(
        self,
        gatherer: str,
        what: str,
        follow: Callable[[], dict[str, int]],
        interval_seconds: float,
        offload: Offload,
        stopping: Stopping,
    ) -> None:
        self._gatherer = gatherer
        self._what = what
        self._follow = follow
        self._interval_seconds = interval_seconds
        self._offload = offload
        self._stopping = stopping
        self._failures = 0
        self._failure = "not read yet"

    def why_not_ready(self) -> str | None:
        return f"{self._what} of {self._gatherer}: {self._failure}" if self._failure else None

    def run(self) -> None:
        self.step()
        while not self._stopping.wait(self._pause_seconds()):
            self.step()

    def step(self) -> bool:
        """Reads all that there is. False: it could not be read."""
        try:
            copied = self._offload(self._follow)
        except DatabaseError as error:
            self._failures += 1
            self._failure = str(error)
            metrics.FOLLOW_ERRORS.labels(self._gatherer, self._what).inc()
            log.warning("cannot be followed", gatherer=self._gatherer, what=self._what, error=str(error))
            return False
        self._failures, self._failure = 0, ""
        metrics.FOLLOWED_TIMESTAMP.labels(self._gatherer, self._what).set(datetime.now(UTC).timestamp())
        for table, rows in copied.items():
            metrics.FOLLOWED_ROWS.labels(self._gatherer, table).inc(rows)
        return True

    def _pause_seconds(self) -> float:
        if not self._failures:
            return self._interval_seconds
        return min(2.0 ** (self._failures - 1), LONGEST_RETRY_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
