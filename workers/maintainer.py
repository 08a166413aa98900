"""The maintenance process: chunks of one time-series database, and ended markets of a gatherer's metadata database.

In: a database and its disk budget. Out: chunks made ahead, compressed and dropped; rows of ended markets deleted.
One worker per database, so that one that is down delays no other.
"""

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from app.metrics.process import CHUNKS_BYTES, ENDED_ROWS_DROPPED, MAINTAINED_AT, SACRIFICED_BYTES
from app.postgres.connection import connected
from app.postgres.databases import Database, DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from app.storage.cleanup import drop_ended, forget
from app.storage.confirmation import CONFIRMATIONS, LAST_RESORTS, why_not_confirmed
from app.storage.migrations import refuse_another_kind
from app.storage.retention import Round, maintain
from workers.process.loop import Loop

log = logs.get(__name__)


Done = TypeVar("Done")


class DatabaseMaintainer(ABC, Generic[Done]):
    """Maintain one database: once at the start, then every interval."""

    def __init__(self, name: str, interval_seconds: float, offload: Offload, stopping: Stopping) -> None:
        self._name = name
        self._offload = offload
        # Chunks are made days ahead, and on demand by an insert: after a failure the next round is early enough.
        self._loop = Loop(self._maintain_and_report, interval_seconds, stopping, on_failure=self._failed)
        self._failure: str | None = "The first round is not over."

    def why_not_ready(self) -> str | None:
        return f"{self._name}: {self._failure}" if self._failure else None

    def run(self) -> None:
        self._loop.run()

    def step(self) -> None:
        """Run one round. A failure is logged, shown in readiness and retried in the next round."""
        self._loop.step()

    def _maintain_and_report(self) -> None:
        done = self._offload(self._maintain)
        self._failure = None
        self._report(done)

    def _failed(self, error: str) -> None:
        self._failure = error
        log.error("maintenance failed: retrying in the next round", database=self._name, error=error)

    @abstractmethod
    def _maintain(self) -> Done:
        """Run one round in a thread of its own."""

    @abstractmethod
    def _report(self, done: Done) -> None:
        """Log and measure a round that has succeeded."""


class Maintainer(DatabaseMaintainer[Round | None]):
    """Maintain the chunks of one database."""

    def __init__(
        self, database: Database, max_bytes: int, interval_seconds: float, offload: Offload, stopping: Stopping
    ) -> None:
        super().__init__(database.kind.database, interval_seconds, offload, stopping)
        self._database = database
        self._max_bytes = max_bytes

    def _maintain(self) -> Round | None:
        """Run one round. Return None if another process holds the database's lock."""
        kind, now = self._database.kind, datetime.now(UTC)
        with connected(self._database.dsn, "maintainer") as connection:
            # Another kind's rules of what may be dropped would be wrong here.
            refuse_another_kind(connection, kind)
            done = maintain(connection, CONFIRMATIONS[kind], self._max_bytes, now, LAST_RESORTS.get(kind))
            if done and done.unconfirmed:
                log.warning(
                    "expired chunks kept: not confirmed elsewhere",
                    database=self._name,
                    chunks=done.unconfirmed,
                    reason=why_not_confirmed(connection, kind),
                )
            if done and kind is DatabaseKind.TIMESERIES:
                log.info(
                    "old journal and quarantine rows deleted",
                    database=self._name,
                    **forget(connection, self._max_bytes, now)._asdict(),
                )
            return done

    def _report(self, done: Round | None) -> None:
        figures = done._asdict() if done else {"left_to": "another process"}
        log.info("maintenance finished", database=self._name, **figures)
        if done:
            MAINTAINED_AT.labels(self._name).set_to_current_time()
            CHUNKS_BYTES.labels(self._name).set(done.size_bytes)
            SACRIFICED_BYTES.inc(done.sacrificed_bytes)


class MetadataMaintainer(DatabaseMaintainer[dict[str, int]]):
    """Delete ended markets and events from a gatherer's database."""

    def __init__(
        self, metadata: Dsn, keep_for: timedelta, interval_seconds: float, offload: Offload, stopping: Stopping
    ) -> None:
        super().__init__(DatabaseKind.METADATA.database, interval_seconds, offload, stopping)
        self._metadata = metadata
        self._keep_for = keep_for

    def _maintain(self) -> dict[str, int]:
        with connected(self._metadata, "maintainer") as connection:
            return drop_ended(connection, self._keep_for, datetime.now(UTC))

    def _report(self, done: dict[str, int]) -> None:
        log.info("maintenance finished", database=self._name, **done)
        MAINTAINED_AT.labels(self._name).set_to_current_time()
        for table, rows in done.items():
            ENDED_ROWS_DROPPED.labels(table).inc(rows)
