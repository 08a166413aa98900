from collections.abc import Mapping

from app import logs
from app.clock import now_us
from app.coverage.journals import read_gatherers
from app.coverage.knowledge import PATIENCE, known_until_us
from app.errors import DatabaseError
from app.merge.alone import Alone, compare_second
from app.metrics import merge as metrics
from app.normal.times import MICROSECOND, SECOND_US
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
        self._last_second = 0

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
            known_us = known_until_us(read_gatherers(connection), now_us(), PATIENCE // MICROSECOND)
        second = known_us // SECOND_US - ON_THE_WAY_SECONDS
        if second <= self._last_second:
            return {}  # nothing has become known since
        compared = compare_second(self._gatherers, second)
        self._last_second = second
        return compared
