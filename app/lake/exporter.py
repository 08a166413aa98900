import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from app import logs
from app.lake.arrow_source import hour_of_rows
from app.lake.content import LACKS_ROWS
from app.lake.dataset import Dataset
from app.lake.ledger import Ledger
from app.lake.manifest import Manifest
from app.lake.parquet_file import Written, duckdb_session, write_sorted
from app.lake.schema import schema_of
from app.lake.storage import Storage
from app.lake.survey import survey
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.store.arrivals import arrivals_session

log = logs.get(__name__)

# What the lake has that the database has no more, the database's rows come to. An object that the ledger does not know
# of is from before production was put back to an earlier state.
TOGETHER = """
    SELECT {columns} FROM fresh UNION ALL SELECT {columns} FROM archived ANTI JOIN fresh USING ({identity})
"""


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
        """None: another process is at it."""
        with self._ledger.claimed(dataset, hour) as is_ours:
            if not is_ours:
                return None
            keys = (dataset.object_key(hour), dataset.manifest_key(hour))
            versions = [self._storage.version(key) for key in keys]
            through_ingest_id = self._ledger.begin(dataset, hour)
            with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
                path = Path(folder) / "hour.parquet"
                written = self._write(dataset, hour, path)
                self._storage.put_file(keys[0], path, versions[0])
            self._storage.put(keys[1], Manifest.of(keys[0], written).encode(), versions[1])
            is_final = self._ledger.finish(dataset, hour, through_ingest_id, written.rows)
        figures = {"rows": written.rows, "size_bytes": written.size_bytes}
        log.info("exported", dataset=dataset.name, hour=hour.isoformat(), **figures)
        return Exported(written.rows, written.size_bytes, is_final)

    def _write(self, dataset: Dataset, hour: datetime, path: Path) -> Written:
        with duckdb_session(path.parent) as session, self._rows(session, dataset, hour, path.parent) as query:
            return write_sorted(session, query, schema_of(dataset.table), dataset.identity, path)

    @contextmanager
    def _rows(
        self, session: duckdb.DuckDBPyConnection, dataset: Dataset, hour: datetime, folder: Path
    ) -> Iterator[str]:
        """The query that has them."""
        archived = folder / "archived.parquet"
        may_lack_rows = self._lacks_rows(dataset, hour) or not self._ledger.has_written(dataset, hour)
        with hour_of_rows(self._source, dataset.table, hour) as fresh:
            if may_lack_rows and self._storage.fetch(dataset.object_key(hour), archived):
                # Both sides of the join read it; a stream can be read once.
                session.register("stream", fresh)
                session.execute("CREATE TEMPORARY TABLE fresh AS SELECT * FROM stream")
                session.read_parquet(str(archived)).create_view("archived")
                columns, identity = ", ".join(dataset.table.column_names), ", ".join(dataset.identity)
                yield TOGETHER.format(columns=columns, identity=identity)
            else:
                session.register("fresh", fresh)
                yield "SELECT * FROM fresh"

    def _lacks_rows(self, dataset: Dataset, hour: datetime) -> bool:
        with connected(self._source, "exporter") as connection:
            return bool(value_of(connection, f"SELECT {LACKS_ROWS}", {"hour": hour, "table": dataset.table.name}))
