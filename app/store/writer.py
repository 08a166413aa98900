import io
from collections.abc import Sequence
from typing import NamedTuple

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from app import logs
from app.errors import DatabaseError
from app.offload import Offload, inline
from app.postgres.connection import Connection, connect
from app.postgres.dsn import Dsn
from app.store.bisect import store_what_fits
from app.store.pgcopy import UnfitValueError, copy_bytes
from app.store.quarantine import quarantine_row
from app.store.tables import Row, Table

log = logs.get(__name__)

REFUSED_BY_THE_DATABASE = (psycopg2.DataError, psycopg2.IntegrityError)
UNFIT = (*REFUSED_BY_THE_DATABASE, UnfitValueError)
READ_SIZE = 1 << 20
STAGED_BATCHES_AFTER_CONFLICT = 100
HOUR_US = 3_600_000_000


class Written(NamedTuple):
    inserted: int
    conflicting: int  # rows that were there already
    quarantined: int


class CopyWriter:
    """Writes batches of rows into a table by binary COPY, each in one transaction; rows that are there already are left
    out, and a row that does not fit is quarantined while the rest of its batch stays.

    A batch goes straight into the table, which costs half of the way round by a staging table and ON CONFLICT. That way
    is taken when the first meets a row that is there already, and for a while after, since such rows come in company.

    Returns after the commit. When the database fails nothing of the batch is written, and the same batch may be
    written again: the next call connects anew.
    """

    def __init__(self, table: Table, dsn: Dsn, offload: Offload = inline) -> None:
        self.table = table
        self._dsn = dsn
        self._offload = offload
        self._connection: Connection | None = None
        self._statements = _Statements(table)
        self._staged_batches = 0

    def write(self, rows: Sequence[Row]) -> Written:
        return self._offload(self._write, rows)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, rows: Sequence[Row]) -> Written:
        try:
            connection = self._connection = self._connection or self._connect()
            with connection.cursor() as cursor:
                written = self._store(cursor, rows)
            connection.commit()
        except BaseException as error:
            # Whatever it was, the connection's state is not known any more.
            self.close()
            if isinstance(error, psycopg2.Error):
                raise DatabaseError(f"Writing to {self.table.name} failed.", str(error).strip()) from error
            raise
        return written

    def _connect(self) -> Connection:
        connection = connect(self._dsn, f"writer {self.table.name}")
        with connection.cursor() as cursor:
            cursor.execute(self._statements.create_staging)
        connection.commit()
        return connection

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> Written:
        quarantined = 0

        def reject(row: Row, error: Exception) -> None:
            nonlocal quarantined
            quarantined += 1
            quarantine_row(cursor, self.table, row, error)
            log.warning("row quarantined", table=self.table.name, reason=str(error).strip())

        cursor.execute(self._statements.lock_table)
        inserted = store_what_fits(rows, lambda part: self._attempt(cursor, part), reject, UNFIT)
        return Written(inserted, len(rows) - inserted - quarantined, quarantined)

    def _attempt(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> int:
        content = copy_bytes(self.table, rows)
        cursor.execute(self._statements.begin_attempt)
        try:
            try:
                inserted = self._load(cursor, content)
            except psycopg2.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # No constraint was violated: a row found no chunk.
                cursor.execute("ROLLBACK TO SAVEPOINT attempt")
                self._ensure_chunks(cursor, rows)
                inserted = self._load(cursor, content)
        except REFUSED_BY_THE_DATABASE:
            cursor.execute("ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt")
            raise
        cursor.execute("RELEASE SAVEPOINT attempt")
        return inserted

    def _load(self, cursor: psycopg2.extensions.cursor, content: bytes) -> int:
        """How many of the rows were new."""
        if self._staged_batches == 0:
            try:
                cursor.copy_expert(self._statements.copy_to_table, io.BytesIO(content), READ_SIZE)
            except psycopg2.errors.UniqueViolation:
                cursor.execute("ROLLBACK TO SAVEPOINT attempt")
                self._staged_batches = STAGED_BATCHES_AFTER_CONFLICT
            else:
                return cursor.rowcount
        self._staged_batches -= 1
        cursor.copy_expert(self._statements.copy_to_staging, io.BytesIO(content), READ_SIZE)
        cursor.execute(self._statements.insert)
        return cursor.rowcount

    def _ensure_chunks(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> None:
        for hour in sorted({time_us // HOUR_US for time_us in self.table.times_us(rows)}):
            cursor.execute(self._statements.ensure_chunk, (hour,))


class _Statements:
    def __init__(self, table: Table) -> None:
        names = {
            "table": sql.Identifier(table.name),
            "literal": sql.Literal(table.name),
            "staging": sql.Identifier(f"staging_{table.name}"),
            "columns": sql.SQL(", ").join(map(sql.Identifier, table.column_names)),
        }

        def statement(text: str) -> sql.Composed:
            return sql.SQL(text).format(**names)

        self.create_staging = statement(
            "CREATE TEMPORARY TABLE {staging} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {table} WITH NO DATA"
        )
        # Without it a transaction that began earlier could commit later, behind the back of a reader by ingest_id.
        self.lock_table = statement("SELECT pg_advisory_xact_lock(hashtextextended('writing ' || {literal}, 0))")
        # Of a bisected batch, an earlier part may still be staged.
        self.begin_attempt = statement("SAVEPOINT attempt; DELETE FROM {staging}")
        self.copy_to_table = statement("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")
        self.copy_to_staging = statement("COPY {staging} ({columns}) FROM STDIN (FORMAT binary)")
        self.insert = statement(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT DO NOTHING"
        )
        self.ensure_chunk = statement("SELECT ensure_chunk({literal}, 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 hour')")
