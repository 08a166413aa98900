from datetime import UTC, datetime

import gevent.event

from app import logs
from app.databases import Database, Kind
from app.errors import DatabaseError
from app.metrics.maintenance import CHUNKS_BYTES, MAINTAINED_AT, SACRIFICED_BYTES
from app.offload import Offload
from app.postgres.connection import connected
from app.store.confirmation import CONFIRMATIONS, LAST_RESORTS, why_not_confirmed
from app.store.forgetting import forget
from app.store.maintenance import Round, maintain

log = logs.get(__name__)


class Maintainer:
    """Looks after the chunks of one database, now and again every interval."""

    def __init__(
        self,
        database: Database,
        max_bytes: int,
        interval_seconds: float,
        offload: Offload,
        stopping: gevent.event.Event,
    ) -> None:
        self._database = database
        self._name = database.kind.database
        self._max_bytes = max_bytes
        self._interval_seconds = interval_seconds
        self._offload = offload
        self._stopping = stopping
        self._failure: str | None = "The first round is not over."

    def why_not_ready(self) -> str | None:
        return f"{self._name}: {self._failure}" if self._failure else None

    def run(self) -> None:
        self.step()
        while not self._stopping.wait(self._interval_seconds):
            self.step()

    def step(self) -> None:
        try:
            done = self._offload(self._maintain)
        except DatabaseError as error:
            # Chunks are made days ahead and on demand: the next round is soon enough.
            self._failure = str(error)
            log.error("maintenance failed", database=self._name, error=self._failure)  # noqa: TRY400
        else:
            self._failure = None
            figures = done._asdict() if done else {"left_to": "another process"}
            log.info("maintained", database=self._name, **figures)
            if done:
                MAINTAINED_AT.labels(self._name).set_to_current_time()
                CHUNKS_BYTES.labels(self._name).set(done.size_bytes)
                SACRIFICED_BYTES.inc(done.sacrificed_bytes)

    def _maintain(self) -> Round | None:
        kind, now = self._database.kind, datetime.now(UTC)
        with connected(self._database.dsn, "maintainer") as connection:
            done = maintain(connection, CONFIRMATIONS[kind], self._max_bytes, now, LAST_RESORTS.get(kind))
            if done and done.unconfirmed:
                log.warning(
                    "chunks stay that are not safe elsewhere",
                    database=self._name,
                    chunks=done.unconfirmed,
                    reason=why_not_confirmed(connection, kind),
                )
            if done and kind is Kind.TIMESERIES:
                log.info("forgotten", database=self._name, **forget(connection, self._max_bytes, now)._asdict())
            return done
