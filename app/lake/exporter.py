import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from app import logs
from app.lake.arrow_source import hour_of_rows, rows_between
from app.lake.content import LACKS_ROWS
from app.lake.dataset import Dataset
from app.lake.hours import hours_between
from app.lake.late_rows import LateRows, around, window_of
from app.lake.ledger import Ledger
from app.lake.manifest import Manifest
from app.lake.parquet_file import Written, duckdb_session, write_sorted
from app.lake.schema import schema_of
from app.lake.storage import Storage, StorageError, storage_errors
from app.lake.survey import survey
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.store.arrivals import arrivals_session

log = logs.get(__name__)


class Exported(NamedTuple):
    rows: int
    size_bytes: int
    is_final: bool  # else a row was withdrawn meanwhile, and the hour is to be exported again


class Exporter:
    """Writes hours of one database's tables: the object first, its manifest after it, the ledger last. Whatever fails
    in between, the hour is written again; until then the lake has the old object or the new one, each as a whole."""

    def __init__(self, source: Dsn, ledger: Ledger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def survey(self, dataset: Dataset) -> bool:
        """Notes hours that have new rows. True while there may be more."""
        with arrivals_session(self._source, "lake survey") as session:
            changes = survey(session, dataset.table, self._ledger.surveyed_through(dataset))
        if changes.hours:
            self._ledger.note(dataset, changes)
        return changes.has_more

    def export(self, dataset: Dataset, hour: datetime) -> Exported | None:
        """Return None, having written nothing, if another process is at it or rows of the hour went meanwhile."""
        with self._ledger.claimed(dataset, hour) as is_ours:
            if not is_ours:
                return None
            keys = (dataset.object_key(hour), dataset.manifest_key(hour))
            versions = [self._storage.version(key) for key in keys]
            through_ingest_id = self._ledger.begin(dataset, hour)
            with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
                path = Path(folder) / "hour.parquet"
                with storage_errors(f"{dataset.name} of {hour:%Y-%m-%dT%H}"):
                    written = self._write(dataset, hour, path)
                # A chunk that the disk budget dropped before its rows were read is no hour without rows.
                if not self._ledger.is_begun(dataset, hour):
                    return None
                self._storage.put_file(keys[0], path, versions[0])
            self._storage.put(keys[1], Manifest.of(keys[0], written).encode(), versions[1])
            is_final = self._ledger.finish(dataset, hour, through_ingest_id, written.rows, written.sha256)
        figures = {"rows": written.rows, "size_bytes": written.size_bytes}
        log.info("exported", dataset=dataset.name, hour=hour.isoformat(), **figures)
        return Exported(written.rows, written.size_bytes, is_final)

    def _write(self, dataset: Dataset, hour: datetime, path: Path) -> Written:
        archived = archived_rows(self._source, self._ledger, self._storage, dataset, hour, path.parent)
        with duckdb_session(path.parent) as session:
            if archived:
                query = self._merged(session, dataset, hour, archived)
                return write_sorted(session, query, schema_of(dataset.table), dataset.identity, path)
            with hour_of_rows(self._source, dataset.table, hour) as fresh:
                session.register("fresh", fresh)
                return write_sorted(session, "FROM fresh", schema_of(dataset.table), dataset.identity, path)

    def _merged(
        self, session: duckdb.DuckDBPyConnection, dataset: Dataset, hour: datetime, archived: list[Path]
    ) -> str:
        """The query that has the rows of archived objects and of the database together."""
        late_rows = LateRows(session, dataset, hour)
        late_rows.store(archived)
        with rows_between(self._source, dataset.table, *around(dataset, hour, windows=1)) as fresh:
            touched = late_rows.merge(fresh)
        for other in touched.other_hours:
            # Before this hour is finished: whatever happens then, the other one is not forgotten.
            self._ledger.reopen(dataset, other)
        return late_rows.query


def archived_rows(
    source: Dsn, ledger: Ledger, storage: Storage, dataset: Dataset, hour: datetime, folder: Path
) -> list[Path]:
    """Fetch the objects whose rows count as stored when an hour is exported: its own and those of hours beside it,
    where the lake may have more than the database. None, as of nearly all hours: the database's rows are the hour."""
    span = around(dataset, hour, windows=2)
    hours = [hour, *(other for other in hours_between(*span) if other != hour)]
    lacking = _lacking(source, dataset, hours)
    unknown = {other for other in hours if not ledger.has_written(dataset, other)}
    if hour not in lacking | unknown:
        return []
    found = []
    for number, other in enumerate(hours):
        path = folder / f"archived-{number}.parquet"
        if other not in lacking | unknown:
            continue
        if storage.fetch(dataset.object_key(other), path):
            found.append(path)
        elif other == hour and hour not in unknown:
            raise _lost(storage, dataset, hour)
    return found


def _lost(storage: Storage, dataset: Dataset, hour: datetime) -> StorageError:
    """An object that has rows which the database dropped must not be replaced by one without them."""
    return StorageError(
        f"The lake at {storage.location} has lost {dataset.object_key(hour)}.",
        "It was written there, and the database has not all of its rows any more.",
        "put it back, from an older version in the bucket or a copy of the lake.",
    )


def _lacking(source: Dsn, dataset: Dataset, hours: list[datetime]) -> set[datetime]:
    with connected(source, "exporter") as connection:
        of = {"table": dataset.table.name, "window": window_of(dataset)}
        return {hour for hour in hours if value_of(connection, f"SELECT {LACKS_ROWS}", {"hour": hour, **of})}
