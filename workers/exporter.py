"""The worker of the lake: export hours once they have settled, and read every written object back.

In: an `Archive` (production) or a `RawArchive` (one gatherer's rows as received). Out: Parquet objects and the ledger.
The exporter and the archiver process of workers/__main__.py both run it.
"""

from collections.abc import Callable

from app.errors import OperatorError
from app.lake.archive import Archive
from app.lake.layout import Dataset
from app.metrics.lake import FAILURES, IS_BOUND
from app.runtime import logs
from app.runtime.clock import steady_seconds
from app.runtime.health import Stopping
from app.runtime.threads import Offload, P, Result
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 10.0
RETRY_SECONDS = 30.0
PROOF_SECONDS = 300.0  # between two writability probes, while they succeed


class Exporter:
    """Write settled hours of an archive to the lake and verify what was written; for production, make candles,
    write coverage and reference data, seal finished days and report on them, as well.

    Each table is tried in every step, whatever became of the others. The first failure is the reason for not being
    ready.
    """

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
        # The step handles the failures of each table itself. Their pause does not grow: the ledger postpones each hour
        # that fails.
        self._loop = Loop(self.step, lambda: retry_seconds if self.failure else idle_seconds, stopping)
        self._clock = clock
        self._proved_seconds: float | None = None  # when a probe was last written to the lake; None: probe again
        self.failure: str | None = None
        self._failures: list[str] = []
        self._why_nothing_is_dropped: str | None = None

    def run(self) -> None:
        self._loop.run()

    def why_not_ready(self) -> str | None:
        return self.failure or self._why_nothing_is_dropped

    def step(self) -> bool:
        """Write or verify one hour of every table. Return True if there is more to do immediately."""
        self._failures = []
        datasets = list((self._tried(self._archive.datasets) or {}).values())
        # Measure the backlog before the lake is contacted: while it is unreachable, each request takes minutes to fail.
        for dataset in datasets:
            self._tried(self._archive.update_backlog, dataset, self._settle_seconds)
        has_more = self._look_at_the_lake() and self._advance(datasets)
        self.failure = self._failures[0] if self._failures else None
        return has_more and self.failure is None

    def _advance(self, datasets: list[Dataset]) -> bool:
        # A list, not a generator: any() must not skip the other tables once one has more to do.
        has_more = [self._tried(self._archive.step, dataset, self._settle_seconds) or False for dataset in datasets]
        if not self._archive.is_raw:
            has_more.append(self._tried(self._archive.make_candles) or False)
            has_more.append(self._tried(self._archive.write_knowledge) or False)
            has_more.append(self._tried(self._archive.seal_days) or False)
            has_more.append(self._tried(self._archive.write_reports) or False)
        return any(has_more)

    def _tried(self, work: Callable[P, Result], *arguments: P.args, **options: P.kwargs) -> Result | None:
        """Run the work in a thread.

        Return its result, or None if it failed; unfinished work is found again by the next step.
        """
        try:
            return self._offload(work, *arguments, **options)
        except OperatorError as error:
            FAILURES.inc()
            log.error("export failed: retrying", reason=str(error))  # noqa: TRY400
            self._failures.append(str(error))
            return None

    def _look_at_the_lake(self) -> bool:
        """Return whether the lake is reachable and can be written."""
        failures = len(self._failures)
        reason = self._tried(self._archive.why_nothing_is_dropped)
        if len(self._failures) > failures:
            return False
        if reason and reason != self._why_nothing_is_dropped:
            log.error("exported chunks are not dropped", reason=reason)
        self._why_nothing_is_dropped = reason
        IS_BOUND.set(reason is None)
        return self._can_be_written()

    def _can_be_written(self) -> bool:
        """Probe the lake every five minutes. Return whether it takes writes.

        A failed export alone does not show this: it counts as that hour's failure, and a lake that takes no writes at
        all has to be detected separately.
        """
        now_seconds = self._clock()
        if self._proved_seconds is not None and now_seconds - self._proved_seconds < PROOF_SECONDS:
            return True
        failures = len(self._failures)
        self._tried(self._archive.prove_writable)
        is_proved = len(self._failures) == failures
        self._proved_seconds = now_seconds if is_proved else None
        return is_proved
