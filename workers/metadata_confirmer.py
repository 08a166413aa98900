from collections.abc import Mapping

from app import logs
from app.errors import DatabaseError
from app.follow.confirming import confirm_metadata
from app.offload import Offload
from app.postgres.dsn import Dsn
from app.stopping import Stopping

log = logs.get(__name__)

CONFIRM_SECONDS = 60.0


class MetadataConfirmer:
    """Tells all gatherers up to where their series, events and markets are in production."""

    def __init__(self, metadata: Mapping[str, Dsn], production: Dsn, offload: Offload, stopping: Stopping) -> None:
        self._metadata = metadata
        self._production = production
        self._offload = offload
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.wait(CONFIRM_SECONDS):
            self.step()

    def step(self) -> None:
        """Confirm to all; one that is away keeps no other waiting."""
        for gatherer, source in self._metadata.items():
            try:
                self._offload(confirm_metadata, gatherer, source, self._production)
            except DatabaseError as error:
                log.warning("metadata not confirmed", gatherer=gatherer, error=str(error))
