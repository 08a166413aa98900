from collections.abc import Iterable

import gevent.event

from app import logs
from app.errors import DatabaseError
from app.merge.cursors import merged_through
from app.merge.position import Position
from app.merge.source import Source
from app.offload import Offload
from app.postgres.connection import connected
from app.postgres.dsn import Dsn

log = logs.get(__name__)

CONFIRM_SECONDS = 5.0


class Confirmer:
    """Tells one gatherer up to where its rows are safe in production, so that it may drop what is old."""

    def __init__(
        self,
        gatherer: str,
        sources: Iterable[Source],
        production: Dsn,
        offload: Offload,
        stopping: gevent.event.Event,
    ) -> None:
        self._gatherer = gatherer
        self._sources = list(sources)
        self._production = production
        self._offload = offload
        self._stopping = stopping
        self._confirmed: dict[str, Position] = {}

    def run(self) -> None:
        while not self._stopping.wait(CONFIRM_SECONDS):
            self.step()
        for source in self._sources:
            source.close()

    def step(self) -> None:
        try:
            self._offload(self._confirm)
        except DatabaseError as error:
            log.warning("nothing confirmed", gatherer=self._gatherer, error=str(error))

    def _confirm(self) -> None:
        with connected(self._production, "confirmer") as production:
            through = merged_through(production, self._gatherer)
        for source in self._sources:
            position = through.get(source.table.name)
            if position is None or position.is_beginning or position == self._confirmed.get(source.table.name):
                continue
            if source.confirm(position):
                self._confirmed[source.table.name] = position
