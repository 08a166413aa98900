from collections.abc import Callable

from app.errors import OperatorError
from app.lake.archive import Archive
from app.lake.layout import Dataset
from app.metrics.lake import FAILURES, IS_BOUND
from app.runtime import logs
from app.runtime.clock import steady_seconds
from app.runtime.health import Stopping
from app.runtime.threads import Offload, P, Result

log = logs.get(__name__)

IDLE_SECONDS = 10.0
RETRY_SECONDS = 30.0
PROOF_SECONDS = 300.0  # between two proofs that the lake can be written, while they succeed


class Exporter:
    """Brings hours that have settled into the lake, and reads back what it wrote: production's, of which it makes
    candles too, or a gatherer's as received."""

    def __init__(
        self,
        archive: Archive,
        settle_seconds: float,
        offload: Offload,
        stopping: Stopping,
        idle_seconds: float = IDLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = steady_seconds,
    ) -> None:
        self._archive = archive
        self._settle_seconds = settle_seconds
        self._offload = offload
        self._stopping = stopping
        self._idle_seconds = idle_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._proved_seconds: float | None = None  # when the lake last took what was written to it
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
        datasets = list((self._tried(self._archive.datasets) or {}).values())
        # How far behind it is has to be known also while the lake is away, each request of which takes minutes to fail.
        for dataset in datasets:
            self._tried(self._archive.look, dataset, self._settle_seconds)
        has_more = self._look_at_the_lake() and self._advance(datasets)
        self.failure = self._failures[0] if self._failures else None
        return has_more and self.failure is None

    def _advance(self, datasets: list[Dataset]) -> bool:
        # A list: every table has its turn, whatever the others have to do, and whatever becomes of them.
        has_more = [self._tried(self._archive.step, dataset, self._settle_seconds) or False for dataset in datasets]
        if not self._archive.is_raw:
            has_more.append(self._tried(self._archive.make_candles) or False)
        return any(has_more)

    def _tried(self, work: Callable[P, Result], *arguments: P.args, **options: P.kwargs) -> Result | None:
        """None: it failed. What was not finished is found unfinished the next time."""
        try:
            return self._offload(work, *arguments, **options)
        except OperatorError as error:
            FAILURES.inc()
            log.error("not exported", reason=str(error))  # noqa: TRY400
            self._failures.append(str(error))
            return None

    def _look_at_the_lake(self) -> bool:
        """Return whether it is there and can be written."""
        failures = len(self._failures)
        reason = self._tried(self._archive.why_nothing_is_dropped)
        if len(self._failures) > failures:
            return False
        if reason and reason != self._why_nothing_is_dropped:
            log.error("the database drops nothing of what is exported", reason=reason)
        self._why_nothing_is_dropped = reason
        IS_BOUND.set(reason is None)
        return self._can_be_written()

    def _can_be_written(self) -> bool:
        """An hour that cannot be written is that hour's failure; that none can has to be found by itself."""
        now_seconds = self._clock()
        if self._proved_seconds is not None and now_seconds - self._proved_seconds < PROOF_SECONDS:
            return True
        failures = len(self._failures)
        self._tried(self._archive.prove_writable)
        is_proved = len(self._failures) == failures
        self._proved_seconds = now_seconds if is_proved else None
        return is_proved
