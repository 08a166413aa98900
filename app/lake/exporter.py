"""Export one hour of a table from a database to the lake as a sorted Parquet file with a manifest.

In: rows by COPY's binary form, and objects of the lake if the database no longer has all rows. Out: the object first,
then its manifest, and the ledger last, so that a crash repeats the hour and never leaves half of one.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from psycopg2 import sql

from app.errors import DatabaseError
from app.lake.late_rows import LateRows, around, window_of
from app.lake.layout import Dataset, schema_of
from app.lake.ledger import ExportLedger, survey
from app.lake.parquet import Manifest, WrittenFile, duckdb_session, write_sorted
from app.lake.storage import Storage, StorageError, storage_errors
from app.postgres.connection import Connection, connected, parameters, value_of
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.storage.arrivals import TABLE_LOCK, arrivals, arrivals_session
from app.storage.tables import ColumnType, Table, TableColumn
from kalshi_data.layout import HOUR, hours_between

# The content of rows, independent of their order: their number, and the sum of their hashes. PostgreSQL and DuckDB each
# compute it from their own rows, so the transfer between them does not have to be trusted.

HASH = "md5(concat_ws(chr(31), {values}))"
IN_POSTGRES = "SELECT count(*), coalesce(sum(('x' || left({hash}, 15))::BIT(60)::BIGINT), 0)::TEXT"
IN_DUCKDB = "SELECT count(*), coalesce(sum(('0x' || left({hash}, 15))::BIGINT), 0)::TEXT"
# True if chunks were dropped, or the database was restored to an earlier state, within the hour or as near to it as
# copies of its rows may be.
LACKS_ROWS = "complete_since(%(table)s, %(hour)s + INTERVAL '1 hour' + %(window)s) > %(hour)s - %(window)s"


class Content(NamedTuple):
    rows: int
    hash_sum: str


def content_of_file(session: duckdb.DuckDBPyConnection, table: Table, path: Path) -> Content:
    figures = IN_DUCKDB.format(hash=_hash(table))
    rows, hash_sum = session.execute(f"{figures} FROM read_parquet(?)", [str(path)]).fetchall()[0]
    return Content(rows, hash_sum)


def content_in_database(
    session: Connection, table: Table, hour: datetime, window: timedelta
) -> tuple[Content, int, bool]:
    """Return the hour's content in the database, the last row's ingest_id, and whether rows may be missing. The session
    is one for arrivals()."""
    query = sql.SQL("""
        {figures}, coalesce(max(ingest_id), 0), {lacks_rows}
        FROM {table} WHERE {time} >= %(hour)s AND {time} < %(hour)s + INTERVAL '1 hour'
    """).format(
        figures=sql.SQL(IN_POSTGRES.format(hash=_hash(table))),
        lacks_rows=sql.SQL(LACKS_ROWS),
        table=sql.Identifier(table.name),
        time=sql.Identifier(table.time_column),
    )
    with arrivals(session, table.name) as cursor:
        cursor.execute(query, {"table": table.name, "hour": hour, "window": window})
        rows, hash_sum, last_ingest_id, lacks_rows = cursor.fetchone() or (0, "0", 0, False)
    return Content(rows, hash_sum), last_ingest_id, lacks_rows


def _hash(table: Table) -> str:
    return HASH.format(values=", ".join(f"coalesce({_text(column)}, 'null')" for column in table.columns))


def _text(column: TableColumn) -> str:
    """Return SQL for the column's value as text, in a form that both databases write alike."""
    if column.type in {ColumnType.BIGINT_ARRAY, ColumnType.INTEGER_ARRAY}:
        return f"array_to_string({column.name}, ',')"
    if column.type is ColumnType.BOOLEAN:
        return f"{column.name}::INTEGER::TEXT"
    return f"{column.name}::TEXT"


# Rows of a table as Arrow, without a Python object for any row: COPY's binary form, decoded by Arrow's PostgreSQL
# driver.

BATCH_BYTES = "16000000"


def hour_of_rows(dsn: Dsn, table: Table, hour: datetime) -> AbstractContextManager[pa.RecordBatchReader]:
    return rows_between(dsn, table, hour, hour + HOUR)


@contextmanager
def rows_between(dsn: Dsn, table: Table, start: datetime, end: datetime) -> Iterator[pa.RecordBatchReader]:
    """Read every row that was committed before the block began, in no particular order."""
    query = (
        f"SELECT {', '.join(table.column_names)} FROM {table.name} "  # noqa: S608 - names of our own tables
        f"WHERE {table.time_column} >= '{start.isoformat()}' AND {table.time_column} < '{end.isoformat()}'"
    )
    try:
        with dbapi.connect(parameters(dsn, "exporter")) as connection, connection.cursor() as cursor:
            # The lock's last holder has created all chunks of its rows; a session that takes the lock afterwards knows
            # of these chunks.
            cursor.execute(f"SELECT pg_advisory_xact_lock_shared({TABLE_LOCK % repr(table.name)})")
            connection.rollback()
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": BATCH_BYTES})
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                yield reader
    # DuckDB raises its own error for an error of the reader that it consumes
    except (dbapi.Error, duckdb.Error) as error:
        raise DatabaseError(f"Reading {table.name} failed.", str(error).strip()) from error


log = logs.get(__name__)


class Exported(NamedTuple):
    rows: int
    size_bytes: int
    is_final: bool  # False: a row was withdrawn meanwhile, and the hour has to be exported again


class HourExporter:
    """Export hours of one database's tables: the object first, then its manifest, and the ledger last.

    After a failure in between, the hour is written again. Until then the lake has the old object or the new one, each
    complete.
    """

    def __init__(self, source: Dsn, ledger: ExportLedger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def survey(self, dataset: Dataset) -> bool:
        """Note hours that have new rows. Return True while there may be more."""
        with arrivals_session(self._source, "lake survey") as session:
            changes = survey(session, dataset.table, self._ledger.surveyed_through(dataset))
        if changes.hours:
            self._ledger.note(dataset, changes)
        return changes.has_more

    def export(self, dataset: Dataset, hour: datetime) -> Exported | None:
        """Export the hour. Return None, having written nothing, if another process does or if rows of the hour were
        dropped meanwhile."""
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
                # If the disk budget dropped the chunk before its rows were read, the file lacks them: it must not
                # replace the object.
                if not self._ledger.is_begun(dataset, hour):
                    return None
                self._storage.put_file(keys[0], path, versions[0])
            self._storage.put(keys[1], Manifest.of(keys[0], written).encode(), versions[1])
            is_final = self._ledger.finish(dataset, hour, through_ingest_id, written)
        figures = {"rows": written.rows, "size_bytes": written.size_bytes}
        log.info("hour exported", dataset=dataset.name, hour=hour.isoformat(), **figures)
        return Exported(written.rows, written.size_bytes, is_final)

    def _write(self, dataset: Dataset, hour: datetime, path: Path) -> WrittenFile:
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
        """Merge the archived objects' rows with the database's. Return the query for the hour's rows."""
        late_rows = LateRows(session, dataset, hour)
        late_rows.store(archived)
        with rows_between(self._source, dataset.table, *around(dataset, hour, windows=1)) as fresh:
            touched = late_rows.merge(fresh)
        for other in touched.other_hours:
            # Before this hour is finished, so that a crash cannot lose that the other hour has to be written again.
            self._ledger.reopen(dataset, other)
        return late_rows.query


def archived_rows(
    source: Dsn, ledger: ExportLedger, storage: Storage, dataset: Dataset, hour: datetime, folder: Path
) -> list[Path]:
    """Fetch the objects whose rows count as stored when an hour is exported: the hour's own, and the ones of hours
    beside it where the lake may have more than the database. Return none in the usual case: the database has the
    complete hour."""
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
    """Return the error for a missing object. It may have had rows that the database dropped, so it must not be replaced
    by an object without them."""
    return StorageError(
        f"The lake at {storage.location} has lost {dataset.object_key(hour)}.",
        "It was written there, and the database no longer has all of its rows.",
        "restore it from an older version in the bucket or from a copy of the lake.",
    )


def _lacking(source: Dsn, dataset: Dataset, hours: list[datetime]) -> set[datetime]:
    with connected(source, "exporter") as connection:
        of = {"table": dataset.table.name, "window": window_of(dataset)}
        return {hour for hour in hours if value_of(connection, f"SELECT {LACKS_ROWS}", {"hour": hour, **of})}
