"""A gatherer's rows as received, in a lake's raw/. Read archive.py first.

An hour goes there when it has ended and settled, without waiting for the deduplicator to confirm it: what nobody else
has yet is what most needs a second copy, and rows that come late have their hour written again.

From the first look on, before the lake was ever reached, the database is bound to it, and drops nothing for its age
that is not there. A disk that is full wins all the same: app/store/confirmation.py.
"""

from collections.abc import Mapping
from uuid import UUID

from app import logs
from app.lake.archive import Archive
from app.lake.dataset import RAW_TABLES, Dataset, raw_dataset, raw_folder
from app.lake.identity import reached, want
from app.lake.storage import Storage
from app.postgres.connection import Connection, connected, value_of
from app.postgres.dsn import Dsn

log = logs.get(__name__)

SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


class RawArchive(Archive):
    """One gatherer's tables in raw/ of one lake, by the ledger in that gatherer's own database."""

    is_raw = True
    owner = "The gatherer's database"
    how_to_bind = "run kalshi-data lake bind --raw with KALSHI_LAKE set to that one."

    def __init__(self, timeseries: Dsn, storage: Storage, gatherer: str, *, binds: bool = True) -> None:
        super().__init__(timeseries, storage, binds=binds)
        self._gatherer = gatherer

    def datasets(self) -> Mapping[str, Dataset]:
        with connected(self._source, "lake") as connection:
            identifier = int(value_of(connection, SYSTEM_IDENTIFIER))
        return {table.name: raw_dataset(table, self._gatherer, identifier) for table in RAW_TABLES}

    def prove_writable(self) -> None:
        """What a gatherer may write is its own folders alone."""
        self._storage.prove_writable(raw_folder(RAW_TABLES[0].name, self._gatherer))

    def _known_lake_id(self) -> UUID | None:
        if self._binds and self._registered is None:
            with connected(self._source, "lake ledger") as connection:
                if want(connection, self._storage.location):
                    log.info(
                        "nothing is dropped for its age from now on before this lake has it",
                        lake=self._storage.location,
                    )
        return super()._known_lake_id()

    def _bind(self, connection: Connection, lake_id: UUID) -> None:
        reached(connection, lake_id)
        super()._bind(connection, lake_id)
