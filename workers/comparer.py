from collections.abc import Mapping
from datetime import UTC, datetime

from app import logs
from app.coverage.journals import read_gatherers
from app.coverage.knowledge import PATIENCE, known_until_us
from app.coverage.moments import us_of
from app.errors import DatabaseError
from app.merge.alone import SECOND_US, Alone, compare_second
from app.metrics import merge as metrics
from app.normal.times import MICROSECOND
from app.offload import Offload
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.stopping import Stopping

log = logs.get(__name__)

INTERVAL_SECONDS = 60.0
# What happened so long before a gatherer's last sure moment has reached it, whatever the way and the clocks.
ON_THE_WAY_SECONDS = 10


class Comparer:
    """Counts of one second in each minute what only one gatherer has."""

    def __init__(self, gatherers: Mapping[str, Dsn], production: Dsn, offload: Offload, stopping: Stopping) -> None:
        self._gatherers = gatherers
        self._production = production
        self._offload = offload
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.step()

    def step(self) -> bool:
        """False: one could not be asked, so nothing is counted."""
        try:
            compared = self._offload(self._compare)
        except DatabaseError as error:
            log.warning("gatherers are not compared", error=str(error))
            return False
        for table, alone in compared.items():
            metrics.SAMPLED_ROWS.labels(table).inc(alone.events)
            for gatherer, events in alone.by_gatherer.items():
                metrics.SAMPLED_ROWS_ALONE.labels(gatherer, table).inc(events)
        return True

    def _compare(self) -> dict[str, Alone]:
        with connected(self._production, "comparer") as connection, connection:
            now_us = us_of(datetime.now(UTC))
            known_us = known_until_us(read_gatherers(connection), now_us, PATIENCE // MICROSECOND)
        return compare_second(self._gatherers, known_us // SECOND_US - ON_THE_WAY_SECONDS)
