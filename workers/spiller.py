from app import logs
from app.backlog import Backlog
from app.metrics import recording as metrics
from app.spool.spool import SpoolError
from app.stopping import Stopping

log = logs.get(__name__)

LOOK_SECONDS = 0.05
RETRY_SECONDS = 1.0


class Spiller:
    """Moves rows of one table to the disk when they wait in memory for too long, so that no socket has to."""

    def __init__(self, backlog: Backlog, ended: Stopping) -> None:
        self._backlog = backlog
        self._ended = ended
        self._table = backlog.table.name
        self._pause_seconds = LOOK_SECONDS

    def run(self) -> None:
        while not self._ended.wait(self._pause_seconds):
            self.step()

    def step(self) -> None:
        self._pause_seconds = LOOK_SECONDS
        if not self._backlog.should_spill():
            self._backlog.refusal = None
            return
        try:
            rows = self._backlog.spill()
        except SpoolError as error:
            self._pause_seconds = RETRY_SECONDS
            log.error("rows stay in memory", table=self._table, rows=self._backlog.waiting_rows, reason=str(error))  # noqa: TRY400
        else:
            metrics.SPOOLED.labels(self._table).inc(rows)
