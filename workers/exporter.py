from collections.abc import Callable

from app import logs
from app.errors import OperatorError
from app.lake.archive import Archive
from app.metrics.lake import FAILURES, IS_BOUND
from app.offload import Offload, P, Result
from app.stopping import Stopping

log = logs.get(__name__)

IDLE_SECONDS = 10.0
RETRY_SECONDS = 30.0


class Exporter:
    """Brings hours that have settled into the lake, reads back what it wrote, and makes candles of it."""

    def __init__(
        self,
        archive: Archive,
        settle_seconds: float,
        offload: Offload,
        stopping: Stopping,
        idle_seconds: float = IDLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._archive = archive
        self._settle_seconds = settle_seconds
        self._offload = offload
        self._stopping = stopping
        self._idle_seconds = idle_seconds
        self._retry_seconds = retry_seconds
        self.failure: str | None = None
        self._failures: list[str] = []
        self._why_nothing_is_dropped: str | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(self._retry_seconds if self.failure else self._idle_seconds)

    def why_not_ready(self) -> str | None:
        return self.failure or self._why_nothing_is_dropped

    def step(self) -> bool:
        """An hour of every table. Whether to go on at once."""
        self._failures = []
        self._look_at_the_lake()
        datasets = self._tried(self._archive.datasets) or {}
        # A list: every table has its turn, whatever the others have to do, and whatever becomes of them.
        has_more = [
            self._tried(self._archive.step, dataset, self._settle_seconds) or False for dataset in datasets.values()
        ]
        if not self._archive.is_raw:
            has_more.append(self._tried(self._archive.make_candles) or False)
        self.failure = self._failures[0] if self._failures else None
        return any(has_more) and self.failure is None

    def _tried(self, work: Callable[P, Result], *arguments: P.args, **options: P.kwargs) -> Result | None:
        """None: it failed. What was not finished is found unfinished the next time."""
        try:
            return self._offload(work, *arguments, **options)
        except OperatorError as error:
            FAILURES.inc()
            log.error("not exported", reason=str(error))  # noqa: TRY400
            self._failures.append(str(error))
            return None

    def _look_at_the_lake(self) -> None:
        if self._archive.is_raw:
            return
        reason = self._tried(self._archive.why_nothing_is_dropped)
        if self._failures:
            return
        if reason and reason != self._why_nothing_is_dropped:
            log.error("production drops nothing of what is exported", reason=reason)
        self._why_nothing_is_dropped = reason
        IS_BOUND.set(reason is None)
