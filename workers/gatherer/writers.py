"""The writers of a gatherer: per table one thread-backed writer to its database and one spiller to disk.

In: rows put by producers into `WriteQueues`. Out: rows in the databases, and `recorded_until` of the run.
The run's row is written last: a reader of `recorded_until` must find all rows up to it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from app.errors import DatabaseError
from app.metrics import gatherer as metrics
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.clock import now_us, steady_seconds
from app.runtime.health import Stopping
from app.runtime.threads import Offload, threads
from app.settings import Settings
from app.storage.runs import Run
from app.storage.spool.losses import SpoolFolder, losses_of
from app.storage.spool.spool import SpoolError
from app.storage.tables import (
    GATHERER_TABLES,
    JOURNAL_TABLES,
    METADATA_TABLES,
    QUARANTINE,
    RUNS,
    ColumnType,
    Row,
    Table,
)
from app.storage.write_queue import RowBuffer, WriteBatch, WriteQueue, WriteQueues
from app.storage.writer import CopyWriter, WriteResult
from app.subscriptions.dial_queue import sockets_of
from app.subscriptions.journal import RunWriter
from workers.process.group import Group
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 0.25


class WritePace(NamedTuple):
    batch_rows: int
    batch_seconds: float
    first_retry_seconds: float = 1
    longest_retry_seconds: float = 30


class TableWriter:
    """Write the rows of one table to its database, oldest first, and retry for as long as it is unreachable."""

    def __init__(
        self,
        queue: WriteQueue,
        writer: CopyWriter,
        pace: WritePace,
        ended: Stopping,
        why_wait: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._queue = queue
        self._why_wait = why_wait
        self._writer = writer
        self._pace = pace
        self._ended = ended
        # A random part of the limit, so that the writers of all tables do not retry together.
        first_seconds, longest_seconds = pace.first_retry_seconds, pace.longest_retry_seconds
        self._backoff = Backoff(first_seconds, longest_seconds, jitter=1.0, shortest_seconds=first_seconds / 4)
        self._table = queue.table.name

    def run(self) -> None:
        # A loop of its own: each step itself waits for rows, or after a failure.
        while not self._ended.is_set():
            self.step()
        self._writer.close()

    def step(self) -> None:
        if reason := self._why_wait():
            self._queue.not_written(reason)
            self._ended.wait(IDLE_SECONDS)
            return
        try:
            # Blocks briefly when there is nothing to write.
            batch = self._queue.take(self._pace.batch_rows, self._pace.batch_seconds, IDLE_SECONDS)
            if batch is not None:
                self._write(batch)
        except (DatabaseError, SpoolError) as error:
            self._failed(str(error))

    def _write(self, batch: WriteBatch) -> None:
        started = time.monotonic()
        written = self._writer.write(batch.rows)
        # Removed from memory or spool only after the commit: a crash repeats the batch.
        self._queue.written(batch)
        if self._backoff.failures:
            log.info(
                "database write succeeded after failures", table=self._table, failed_attempts=self._backoff.failures
            )
            self._backoff.succeeded()
        self._count(batch, written, time.monotonic() - started)

    def _failed(self, reason: str) -> None:
        self._queue.not_written(reason)
        pause_seconds = self._backoff.failed()
        metrics.WRITE_ERRORS.labels(self._table).inc()
        log.error(
            "database write failed: retrying", table=self._table, reason=reason, pause_seconds=round(pause_seconds, 1)
        )
        self._ended.wait(pause_seconds)

    def _count(self, batch: WriteBatch, written: WriteResult, seconds: float) -> None:
        metrics.ROWS.labels(self._table).inc(written.inserted)
        metrics.CONFLICTING.labels(self._table).inc(written.conflicting)
        metrics.QUARANTINED.labels(self._table).inc(written.quarantined)
        metrics.REPLAYED.labels(self._table).inc(len(batch.rows) if batch.end is None else 0)
        metrics.BATCH_ROWS.labels(self._table).observe(len(batch.rows))
        metrics.BATCH_SECONDS.labels(self._table).observe(seconds)


SPILL_LOOK_SECONDS = 0.05
RETRY_SECONDS = 1.0


class Spiller:
    """Move rows of one table to disk when they wait in memory for too long, so that no socket has to wait."""

    def __init__(self, queue: WriteQueue, ended: Stopping) -> None:
        self._queue = queue
        self._table = queue.table.name
        self._loop = Loop(
            self._spill,
            SPILL_LOOK_SECONDS,
            ended,
            on_failure=self._not_spilled,
            expected=(SpoolError,),
            backoff=Backoff(RETRY_SECONDS, RETRY_SECONDS),
            first_seconds=SPILL_LOOK_SECONDS,
        )

    def run(self) -> None:
        self._loop.run()

    def step(self) -> None:
        """Move the rows that have waited for too long, if there are any."""
        self._loop.step()

    def _spill(self) -> None:
        if self._queue.should_spill():
            metrics.SPOOLED.labels(self._table).inc(self._queue.spill())
        else:
            self._queue.refusal = None

    def _not_spilled(self, reason: str) -> None:
        log.error(
            "rows not spooled: they stay in memory", table=self._table, rows=self._queue.waiting_rows, reason=reason
        )


TIMESERIES_TABLES = (*GATHERER_TABLES, *JOURNAL_TABLES, QUARANTINE)
DRAIN_SECONDS = 10.0
END_SECONDS = 5.0
DISK_THREADS = 2
LOOK_SECONDS = 0.02

# Rows with a book, a document or a frame in them are many times larger than others.
LARGE = {ColumnType.JSON, ColumnType.BYTES, ColumnType.BIGINT_ARRAY}
LARGE_BUFFER_ROWS = 10_000


class WritePipeline:
    """The write queues of a gatherer with the workers of all their tables.

    They run until close(), longer than any producer.
    """

    def __init__(self, settings: Settings, timeseries: Dsn, metadata: Dsn) -> None:
        self._folder = SpoolFolder(settings.data_dir / "spool", settings.spool_max_bytes)
        disk = threads(DISK_THREADS)
        tables = (*TIMESERIES_TABLES, *METADATA_TABLES)
        self.queues = WriteQueues({table.name: self._queue(table, settings.buffer_rows, disk) for table in tables})
        self._ended = threading.Event()
        self._running: list[str] = []
        # The metadata database has no quarantine table: its unfit rows go to the time-series database's.
        set_aside = partial(self.queues.put, QUARANTINE)
        self._run_writer = self._writer_of_runs(settings, timeseries)
        self._writers: list[CopyWriter] = [self._run_writer]
        self._writers += [
            CopyWriter(table, timeseries, threads(1), on_refused=partial(self._declare, table))
            for table in TIMESERIES_TABLES
            if table is not RUNS
        ]
        self._writers += [CopyWriter(table, metadata, threads(1), set_aside) for table in METADATA_TABLES]
        self._pace = WritePace(settings.batch_rows, settings.batch_milliseconds / 1_000)

    def start(self, group: Group) -> None:
        for writer in self._writers:
            queue = self.queues.by_table[writer.table.name]
            why_wait = self._why_runs_wait if writer.table is RUNS else _nothing_to_wait_for
            table_writer = TableWriter(queue, writer, self._pace, self._ended, why_wait)
            for worker in (table_writer, Spiller(queue, self._ended)):
                # Registered before it starts: close() must not overlook it.
                self._running.append(writer.table.name)
                group.spawn(partial(self._run, worker, writer.table.name))

    def drain(self) -> None:
        """Wait until all rows are durable. Call it once no producer puts rows any more."""
        self.queues.drain(DRAIN_SECONDS)

    def close(self) -> list[str]:
        """Drain the queues and end the workers. Return the tables whose writer does not end.

        Its thread still waits for the database then, and only os._exit ends the process.
        """
        self.drain()
        self._ended.set()
        # Counted in looks and not by the clock: while this process gets no processor, its writers get none either.
        for _ in range(round(END_SECONDS / LOOK_SECONDS)):
            if not self._running:
                break
            time.sleep(LOOK_SECONDS)
        if self._running:
            log.error("database does not answer: its writers are abandoned", tables=sorted(set(self._running)))
        else:
            self._folder.close()
        return sorted(set(self._running))

    def why_not_ready(self) -> str | None:
        return self.queues.why_not_ready() or self._run_writer.why_not_ready()

    def _writer_of_runs(self, settings: Settings, timeseries: Dsn) -> RunWriter:
        runs, losses = self.queues.by_table[RUNS.name], self._folder.losses
        metrics.LOSSES.set_function(lambda: len(losses))
        return RunWriter(
            timeseries,
            losses,
            sockets_of(settings),
            settings.snapshot_refresh_seconds,
            lambda: runs.spool_bytes > 0,
            threads(1),
        )

    def _declare(self, table: Table, refused: list[Row]) -> None:
        """Record the loss of rows that the database refused: the journal must not claim them."""
        self._folder.losses.add(losses_of(table, refused))

    def _why_runs_wait(self) -> str | None:
        """Return which tables have spooled rows; the run's row must wait for them.

        It states up to when everything is recorded: a reader of it in the database must find the rows there as well.
        """
        queues = (self.queues.by_table[table.name] for table in TIMESERIES_TABLES if table is not RUNS)
        behind = [queue.table.name for queue in queues if queue.spool_bytes]
        return f"rows of {', '.join(behind)} must be written first" if behind else None

    def _run(self, worker: TableWriter | Spiller, table_name: str) -> None:
        try:
            worker.run()
        finally:
            self._running.remove(table_name)

    def _queue(self, table: Table, buffer_rows: int, disk: Offload) -> WriteQueue:
        is_large = any(column.type in LARGE for column in table.columns)
        buffer = RowBuffer(min(buffer_rows, LARGE_BUFFER_ROWS) if is_large else buffer_rows)
        queue = WriteQueue(buffer, self._folder.spool_of(table), disk)
        metrics.BUFFER_ROWS.labels(table.name).set_function(lambda: queue.waiting_rows)
        metrics.SPOOL_BYTES.labels(table.name).set_function(lambda: queue.spool_bytes)
        metrics.SPOOL_REFUSES.labels(table.name).set_function(lambda: queue.refusal is not None)
        metrics.DAMAGED_FILES.labels(table.name).set_function(lambda: queue.damaged_files)
        return queue


def _nothing_to_wait_for() -> str | None:
    return None


INTERVAL_SECONDS = 1.0
LATE_SECONDS = 1.0


class RunKeeper:
    """Write every second up to when everything is recorded, limited by frames in hand and by rows that wait."""

    def __init__(
        self,
        run: Run,
        queues: WriteQueues,
        oldest_in_hand_us: Sequence[Callable[[], int | None]],
        stopping: Stopping,
        clock: Callable[[], float] = steady_seconds,
    ) -> None:
        self._run = run
        self._queues = queues
        self._oldest_us = (*oldest_in_hand_us, queues.waiting_since_us)
        self._loop = Loop(self._step_and_sleep, INTERVAL_SECONDS, stopping, first_seconds=INTERVAL_SECONDS)
        self._clock = clock
        self._stopped_us: int | None = None
        self._asleep_since = clock()

    def run(self) -> None:
        self._keep()
        self._asleep_since = self._clock()
        self._loop.run()
        self._stopped_us = now_us()

    def step(self) -> None:
        late_seconds = self._clock() - self._asleep_since - INTERVAL_SECONDS
        if late_seconds > LATE_SECONDS:
            # The socket readers were held up as well: frames received meanwhile still lie in the sockets' buffers.
            log.warning("process was suspended or blocked", seconds=round(late_seconds, 1))
            return
        self._keep()

    def _step_and_sleep(self) -> None:
        self.step()
        self._asleep_since = self._clock()

    def end(self) -> None:
        """Write the run's last row. Call it when nothing is received any more and everything is drained."""
        self._keep(self._stopped_us, ended_us=now_us())

    def _keep(self, until_us: int | None = None, ended_us: int | None = None) -> None:
        known_us = (oldest() for oldest in self._oldest_us)
        now = until_us or now_us()
        sure_until_us = min((time_us for time_us in known_us if time_us is not None), default=now)
        self._queues.put(RUNS, [self._run.row(min(now, sure_until_us), ended_us)])
