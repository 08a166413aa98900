from app import logs
from app.errors import OperatorError
from app.lake.archive import Archive
from app.metrics.lake import FAILURES
from app.offload import Offload
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

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(self._retry_seconds if self.failure else self._idle_seconds)

    def step(self) -> bool:
        """An hour of every table. Whether to go on at once."""
        try:
            datasets = self._offload(self._archive.datasets)
            # A list: every table has its turn, whatever the others have to do.
            has_more = [
                self._offload(self._archive.step, dataset, self._settle_seconds) for dataset in datasets.values()
            ]
            if not self._archive.is_raw:
                has_more.append(self._offload(self._archive.make_candles))
        except OperatorError as error:
            # What was not finished is found unfinished the next time.
            self.failure = str(error)
            FAILURES.inc()
            log.error("not exported", reason=self.failure)  # noqa: TRY400
            return False
        self.failure = None
        return any(has_more)
