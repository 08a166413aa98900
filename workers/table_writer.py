import random
import time
from typing import NamedTuple

from app import logs
from app.backlog import Backlog, Batch
from app.errors import DatabaseError
from app.metrics import recording as metrics
from app.spool.spool import SpoolError
from app.stopping import Stopping
from app.store.writer import CopyWriter, Written

log = logs.get(__name__)

IDLE_SECONDS = 0.25


class Pace(NamedTuple):
    batch_rows: int
    batch_seconds: float
    first_retry_seconds: float = 1
    longest_retry_seconds: float = 30


class TableWriter:
    """Brings the rows of one table to its database, oldest first, and tries again for as long as that is away."""

    def __init__(self, backlog: Backlog, writer: CopyWriter, pace: Pace, ended: Stopping) -> None:
        self._backlog = backlog
        self._writer = writer
        self._pace = pace
        self._ended = ended
        self._failures = 0
        self._table = backlog.table.name

    def run(self) -> None:
        while not self._ended.is_set():
            self.step()
        self._writer.close()

    def step(self) -> None:
        try:
            # Waits when there is nothing to write.
            batch = self._backlog.take(self._pace.batch_rows, self._pace.batch_seconds, IDLE_SECONDS)
            if batch is not None:
                self._write(batch)
        except (DatabaseError, SpoolError) as error:
            self._failed(str(error))

    def _write(self, batch: Batch) -> None:
        started = time.monotonic()
        written = self._writer.write(batch.rows)
        self._backlog.written(batch)
        if self._failures:
            log.info("rows are stored again", table=self._table, failed_attempts=self._failures)
            self._failures = 0
        self._count(batch, written, time.monotonic() - started)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._backlog.not_written(reason)
        pause_seconds = self._pause_seconds()
        metrics.WRITE_ERRORS.labels(self._table).inc()
        log.error("rows are not stored", table=self._table, reason=reason, pause_seconds=round(pause_seconds, 1))
        self._ended.wait(pause_seconds)

    def _pause_seconds(self) -> float:
        """A random part of a limit that doubles, so that the writers of all tables do not come at once."""
        first, longest = self._pace.first_retry_seconds, self._pace.longest_retry_seconds
        limit = min(longest, first * 2.0 ** min(self._failures - 1, 30))
        return random.uniform(first / 4, limit)  # noqa: S311 - nobody has to guess it

    def _count(self, batch: Batch, written: Written, seconds: float) -> None:
        metrics.ROWS.labels(self._table).inc(written.inserted)
        metrics.CONFLICTING.labels(self._table).inc(written.conflicting)
        metrics.QUARANTINED.labels(self._table).inc(written.quarantined)
        metrics.REPLAYED.labels(self._table).inc(len(batch.rows) if batch.end is None else 0)
        metrics.BATCH_ROWS.labels(self._table).observe(len(batch.rows))
        metrics.BATCH_SECONDS.labels(self._table).observe(seconds)
