import threading
import time
from functools import partial

from app import logs
from app.backlog import Backlog
from app.metrics import recording as metrics
from app.offload import Offload, threads
from app.postgres.dsn import Dsn
from app.recorder import Recorder
from app.row_buffer import RowBuffer
from app.settings import Settings
from app.spool.losses import losses_of
from app.spool.spool_folder import SpoolFolder
from app.store.journal_tables import JOURNAL_TABLES, QUARANTINE, RUNS
from app.store.metadata_tables import METADATA_TABLES
from app.store.tables import GATHERER_TABLES, ColumnType, Row, Table
from app.store.writer import CopyWriter
from app.subscriptions.dialler import sockets_of
from app.subscriptions.run_writer import RunWriter
from workers.group import Group
from workers.spiller import Spiller
from workers.table_writer import Pace, TableWriter

log = logs.get(__name__)

TIMESERIES_TABLES = (*GATHERER_TABLES, *JOURNAL_TABLES, QUARANTINE)
DRAIN_SECONDS = 10.0
END_SECONDS = 2.0
DISK_THREADS = 2
LOOK_SECONDS = 0.02

# Rows with a book, a document or a frame in them are many times larger than others.
LARGE = {ColumnType.JSON, ColumnType.BYTES, ColumnType.BIGINT_ARRAY}
LARGE_BUFFER_ROWS = 10_000


class Recording:
    """The recorder of a gatherer with the workers of all its tables. They outlive whoever records, until close()."""

    def __init__(self, settings: Settings, timeseries: Dsn, metadata: Dsn) -> None:
        self._folder = SpoolFolder(settings.data_dir / "spool", settings.spool_max_bytes)
        disk = threads(DISK_THREADS)
        tables = (*TIMESERIES_TABLES, *METADATA_TABLES)
        self.recorder = Recorder({table.name: self._backlog(table, settings.buffer_rows, disk) for table in tables})
        self._ended = threading.Event()
        self._running: list[str] = []
        # The database of series, events and markets has no table for rows that do not fit.
        set_aside = partial(self.recorder.put, QUARANTINE)
        self._run_writer = self._writer_of_runs(settings, timeseries)
        self._writers: list[CopyWriter] = [self._run_writer]
        self._writers += [
            CopyWriter(table, timeseries, threads(1), on_refused=partial(self._declare, table))
            for table in TIMESERIES_TABLES
            if table is not RUNS
        ]
        self._writers += [CopyWriter(table, metadata, threads(1), set_aside) for table in METADATA_TABLES]
        self._pace = Pace(settings.batch_rows, settings.batch_milliseconds / 1_000)

    def start(self, group: Group) -> None:
        for writer in self._writers:
            backlog = self.recorder.backlogs[writer.table.name]
            why_wait = self._why_runs_wait if writer.table is RUNS else _nothing_to_wait_for
            table_writer = TableWriter(backlog, writer, self._pace, self._ended, why_wait)
            for worker in (table_writer, Spiller(backlog, self._ended)):
                # Before it starts: close() must not pass it over.
                self._running.append(writer.table.name)
                group.spawn(partial(self._run, worker, writer.table.name))

    def drain(self) -> None:
        """Call it when nobody puts rows any more: then all of them are durable."""
        self.recorder.drain(DRAIN_SECONDS)

    def close(self) -> list[str]:
        """Drains, and ends the workers. The tables whose writer does not end: its thread waits for the database, and
        only os._exit ends the process."""
        self.drain()
        self._ended.set()
        deadline = time.monotonic() + END_SECONDS
        while self._running and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if self._running:
            log.error("a database does not answer", tables=sorted(set(self._running)))
        else:
            self._folder.close()
        return sorted(set(self._running))

    def why_not_ready(self) -> str | None:
        return self.recorder.why_not_ready() or self._run_writer.why_not_ready()

    def _writer_of_runs(self, settings: Settings, timeseries: Dsn) -> RunWriter:
        runs, losses = self.recorder.backlogs[RUNS.name], self._folder.losses
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
        self._folder.losses.add(losses_of(table, refused))

    def _why_runs_wait(self) -> str | None:
        """A run says up to when all is recorded: whoever reads that in the database finds the rows there as well."""
        backlogs = (self.recorder.backlogs[table.name] for table in TIMESERIES_TABLES if table is not RUNS)
        behind = [backlog.table.name for backlog in backlogs if backlog.spool_bytes]
        return f"rows of {', '.join(behind)} come first" if behind else None

    def _run(self, worker: TableWriter | Spiller, table_name: str) -> None:
        try:
            worker.run()
        finally:
            self._running.remove(table_name)

    def _backlog(self, table: Table, buffer_rows: int, disk: Offload) -> Backlog:
        is_large = any(column.type in LARGE for column in table.columns)
        buffer = RowBuffer(min(buffer_rows, LARGE_BUFFER_ROWS) if is_large else buffer_rows)
        backlog = Backlog(buffer, self._folder.spool_of(table), disk)
        metrics.BUFFER_ROWS.labels(table.name).set_function(lambda: backlog.waiting_rows)
        metrics.SPOOL_BYTES.labels(table.name).set_function(lambda: backlog.spool_bytes)
        metrics.SPOOL_REFUSES.labels(table.name).set_function(lambda: backlog.refusal is not None)
        metrics.DAMAGED_FILES.labels(table.name).set_function(lambda: backlog.damaged_files)
        return backlog


def _nothing_to_wait_for() -> str | None:
    return None
