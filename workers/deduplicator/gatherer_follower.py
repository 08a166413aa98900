"""The workers per gatherer beside the merging: copying its journal and metadata, and confirming what is safe.

In: one gatherer's databases. Out: rows in production, and positions in the gatherer's database up to which it may drop.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from app.errors import DatabaseError
from app.merge.cursors import merged_through
from app.merge.position import Position
from app.merge.source import GathererTable
from app.metrics import deduplicator as metrics
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.replicate.journal import confirm_metadata
from app.runtime import logs
from app.runtime.events import Event
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from workers.process.loop import Loop, database_backoff

log = logs.get(__name__)


class GathererFollower:
    """Copy one database of one gatherer into production, round after round, with backoff while it is unreachable.

    Each gatherer has its own follower, so that one that is down or slow delays no other.
    """

    def __init__(
        self,
        gatherer: str,
        what: str,
        follow: Callable[[], dict[str, int]],
        interval_seconds: float,
        offload: Offload,
        stopping: Stopping,
    ) -> None:
        self._gatherer = gatherer
        self._what = what
        self._follow = follow
        self._offload = offload
        self._loop = Loop(
            self._copy, interval_seconds, stopping, on_failure=self._not_copied, backoff=database_backoff()
        )
        self._failure = "not read yet"

    def why_not_ready(self) -> str | None:
        return f"{self._what} of {self._gatherer}: {self._failure}" if self._failure else None

    def run(self) -> None:
        self._loop.run()

    def _copy(self) -> None:
        """Read everything available."""
        copied = self._offload(self._follow)
        self._failure = ""
        metrics.FOLLOWED_TIMESTAMP.labels(self._gatherer, self._what).set(datetime.now(UTC).timestamp())
        for table, rows in copied.items():
            metrics.FOLLOWED_ROWS.labels(self._gatherer, table).inc(rows)

    def _not_copied(self, error: str) -> None:
        self._failure = error
        metrics.FOLLOW_ERRORS.labels(self._gatherer, self._what).inc()
        log.warning(
            "replication from a gatherer failed: retrying", gatherer=self._gatherer, what=self._what, error=error
        )


CONFIRM_SECONDS = 5.0


class Confirmer:
    """Report to one gatherer up to which position its rows are safe in production, so that it may drop old ones."""

    def __init__(
        self,
        gatherer: str,
        sources: Iterable[GathererTable],
        production: Dsn,
        offload: Offload,
        stopping: Event,
    ) -> None:
        self._gatherer = gatherer
        self._sources = list(sources)
        self._production = production
        self._offload = offload
        self._loop = Loop(
            lambda: self._offload(self._confirm),
            CONFIRM_SECONDS,
            stopping,
            on_failure=self._not_confirmed,
            first_seconds=CONFIRM_SECONDS,
        )
        self._confirmed: dict[str, Position] = {}

    def run(self) -> None:
        self._loop.run()
        self._disconnect()

    def step(self) -> None:
        """Confirm every table whose position has advanced."""
        self._loop.step()

    def _not_confirmed(self, error: str) -> None:
        log.warning("rows not confirmed to the gatherer: retrying", gatherer=self._gatherer, error=error)
        # A server that was restarted has ended all of them: without this, each table would fail one more round.
        self._disconnect()

    def _disconnect(self) -> None:
        for source in self._sources:
            source.close()

    def _confirm(self) -> None:
        with connected(self._production, "confirmer") as production:
            through = merged_through(production, self._gatherer)
        for source in self._sources:
            position = through.get(source.table.name)
            if position is None or position.is_beginning or position == self._confirmed.get(source.table.name):
                continue
            if source.confirm(position):
                self._confirmed[source.table.name] = position


CONFIRM_METADATA_SECONDS = 60.0


class MetadataConfirmer:
    """Report to all gatherers up to where their series, events and markets are in production."""

    def __init__(self, metadata: Mapping[str, Dsn], production: Dsn, offload: Offload, stopping: Stopping) -> None:
        self._metadata = metadata
        self._production = production
        self._offload = offload
        self._loop = Loop(self.step, CONFIRM_METADATA_SECONDS, stopping, first_seconds=CONFIRM_METADATA_SECONDS)

    def run(self) -> None:
        self._loop.run()

    def step(self) -> None:
        """Confirm to every gatherer; an unreachable one delays no other."""
        for gatherer, source in self._metadata.items():
            try:
                self._offload(confirm_metadata, gatherer, source, self._production)
            except DatabaseError as error:
                log.warning("metadata not confirmed to the gatherer: retrying", gatherer=gatherer, error=str(error))
