import time
from collections.abc import Mapping

from app import logs
from app.backlog import Backlog
from app.spool.spool import SpoolError
from app.store.tables import Row, Table

log = logs.get(__name__)

LOOK_SECONDS = 0.02


class Recorder:
    """The sink of everything that a gatherer records: a backlog for each table."""

    def __init__(self, backlogs: Mapping[str, Backlog]) -> None:
        self.backlogs = backlogs

    def put(self, table: Table, rows: list[Row]) -> None:
        """The rows are the sink's at once, and the list too; then waits while too much is not stored yet."""
        self.backlogs[table.name].put(rows)

    def waiting_since_us(self) -> int | None:
        """When the oldest row came that is neither in its database nor on disk."""
        times_us = (backlog.waiting_since_us for backlog in self.backlogs.values())
        return min((time_us for time_us in times_us if time_us is not None), default=None)

    def spooled_bytes(self) -> int:
        return sum(backlog.spool_bytes for backlog in self.backlogs.values())

    def why_not_ready(self) -> str | None:
        """The disk's reason if it refuses rows, else a database's if one is away."""
        backlogs = self.backlogs.values()
        for backlog in backlogs:
            if backlog.refusal:
                return f"Rows of {backlog.table.name} wait in memory: {backlog.refusal}"
        for backlog in backlogs:
            if backlog.away:
                return f"Rows of {backlog.table.name} wait on disk: {backlog.away}"
        return None

    def drain(self, deadline_seconds: float) -> None:
        """Until everything that was put is durable: stored, or on disk where the database does not take it in time."""
        deadline = time.monotonic() + deadline_seconds
        while self.waiting_since_us() is not None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        for backlog in self.backlogs.values():
            try:
                backlog.spill()
            except SpoolError as error:
                log.error(  # noqa: TRY400 - the reason says it all
                    "rows are lost", table=backlog.table.name, rows=backlog.waiting_rows, reason=str(error)
                )
