"""Rows of a table as Arrow, without a Python object for any row: COPY's binary form, decoded by Arrow's driver."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from app.errors import DatabaseError
from app.lake.hours import HOUR
from app.postgres.connection import parameters
from app.postgres.dsn import Dsn
from app.store.arrivals import TABLE_LOCK
from app.store.tables import Table

BATCH_BYTES = "16000000"


def hour_of_rows(dsn: Dsn, table: Table, hour: datetime) -> AbstractContextManager[pa.RecordBatchReader]:
    return rows_between(dsn, table, hour, hour + HOUR)


@contextmanager
def rows_between(dsn: Dsn, table: Table, start: datetime, end: datetime) -> Iterator[pa.RecordBatchReader]:
    """In no particular order. Has every row that was committed before the block began."""
    query = (
        f"SELECT {', '.join(table.column_names)} FROM {table.name} "  # noqa: S608 - names of our own tables
        f"WHERE {table.time_column} >= '{start.isoformat()}' AND {table.time_column} < '{end.isoformat()}'"
    )
    try:
        with dbapi.connect(parameters(dsn, "exporter")) as connection, connection.cursor() as cursor:
            # The lock's last holder has made all chunks that its rows are in; whoever takes it then knows of them.
            cursor.execute(f"SELECT pg_advisory_xact_lock_shared({TABLE_LOCK % repr(table.name)})")
            connection.rollback()
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": BATCH_BYTES})
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                yield reader
    except (dbapi.Error, duckdb.Error) as error:  # DuckDB passes on what goes wrong while it reads
        raise DatabaseError(f"Reading {table.name} failed.", str(error).strip()) from error
