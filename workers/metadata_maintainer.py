from datetime import UTC, datetime, timedelta

from app import logs
from app.databases import Kind
from app.errors import DatabaseError
from app.metrics.maintenance import ENDED_ROWS_DROPPED, MAINTAINED_AT
from app.offload import Offload
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.stopping import Stopping
from app.store.ended_metadata import drop_ended

log = logs.get(__name__)

NAME = Kind.METADATA.database


class MetadataMaintainer:
    """Drops ended markets and events from a gatherer's database, now and again every interval."""

    def __init__(
        self, metadata: Dsn, keep_for: timedelta, interval_seconds: float, offload: Offload, stopping: Stopping
    ) -> None:
        self._metadata = metadata
        self._keep_for = keep_for
        self._interval_seconds = interval_seconds
        self._offload = offload
        self._stopping = stopping
        self._failure: str | None = "The first round is not over."

    def why_not_ready(self) -> str | None:
        return f"{NAME}: {self._failure}" if self._failure else None

    def run(self) -> None:
        self.step()
        while not self._stopping.wait(self._interval_seconds):
            self.step()

    def step(self) -> None:
        try:
            dropped = self._offload(self._drop)
        except DatabaseError as error:
            self._failure = str(error)
            log.error("maintenance failed", database=NAME, error=self._failure)  # noqa: TRY400
            return
        self._failure = None
        log.info("maintained", database=NAME, **dropped)
        MAINTAINED_AT.labels(NAME).set_to_current_time()
        for table, rows in dropped.items():
            ENDED_ROWS_DROPPED.labels(table).inc(rows)

    def _drop(self) -> dict[str, int]:
        with connected(self._metadata, "maintainer") as connection:
            return drop_ended(connection, self._keep_for, datetime.now(UTC))
