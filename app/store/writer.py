import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from app import logs
from app.errors import DatabaseError
from app.offload import Offload, inline
from app.postgres.connection import Connection, connect
from app.postgres.dsn import Dsn
from app.postgres.kept_connection import KeptConnection
from app.store.bisect import store_what_fits
from app.store.conflicts import Conflicts
from app.store.latest import latest_of_each
from app.store.pgcopy import UnfitValueError, copy_bytes
from app.store.quarantine import RefusedRow, quarantine, refused
from app.store.statements import Statements
from app.store.tables import Row, Table

log = logs.get(__name__)

REFUSED_BY_THE_DATABASE = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    # An index, or the reader of JSON, has its limits too.
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)
# Errors of a database that is not as it should be, or of a row that it cannot handle: who knows?
SUSPECT = (psycopg2.InternalError, psycopg2.NotSupportedError)
UNFIT = (*REFUSED_BY_THE_DATABASE, *SUSPECT, UnfitValueError)
READ_SIZE = 1 << 20
HOUR_US = 3_600_000_000
NEW_CHUNKS_AT_ONCE = 100
END_ATTEMPT = "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt"


class Written(NamedTuple):
    inserted: int  # new rows, and those that replaced what was known
    conflicting: int  # rows that were there already, or of which the batch has a newer state
    quarantined: int

    def plus(self, other: "Written") -> "Written":
        return Written(*map(sum, zip(self, other, strict=True)))


class _TooManyChunksError(Exception):
    """A transaction keeps a lock on every chunk that it makes, and the server has room for so many."""


class CopyWriter:
    """Writes batches of rows into a table by binary COPY, each in one transaction; rows that are there already are left
    out, and a row that does not fit is quarantined while the rest of its batch stays.

    A batch goes straight into the table, which costs half of the way round by a staging table and ON CONFLICT. That way
    is taken when the first meets a row that is there already, and for a while after, since such rows come in company.

    Into a table with a key all rows go by staging: a row replaces the one with its key if it says anything new, and not
    if it is older. What is replaced gets a new ingest_id, so that whoever reads on sees it.

    Rows that do not fit are quarantined in the transaction of their batch; or, where the database has no table for
    them, given to `set_aside` after it. `on_refused` hears of them before the transaction is committed.

    (Rows that are spread over very many chunks, as of a back-fill, take several transactions.)

    Returns after the commit. When the database fails the batch may or may not have been written; writing it again is
    safe, and connects anew.
    """

    def __init__(
        self,
        table: Table,
        dsn: Dsn,
        offload: Offload = inline,
        set_aside: Callable[[list[Row]], None] | None = None,
        on_refused: Callable[[list[Row]], None] = lambda _rows: None,
    ) -> None:
        self.table = table
        self._dsn = dsn
        self._offload = offload
        self._set_aside = set_aside
        self._on_refused = on_refused
        self._refused: list[RefusedRow] = []
        self._kept = KeptConnection(self._connect, f"Writing to {table.name} failed.")
        self._statements = Statements(table)
        self._conflicts = Conflicts()
        self._is_writing = False

    def write(self, rows: Sequence[Row]) -> Written:
        written = self._offload(self._write_once, rows)
        if self._set_aside is not None and self._refused:
            self._set_aside(list(self._refused))
        return written

    def close(self) -> None:
        self._kept.close()

    def _write_once(self, rows: Sequence[Row]) -> Written:
        if self._is_writing:
            # Its caller was ended while it waited; a thread cannot be.
            raise DatabaseError(f"An earlier batch is still being written to {self.table.name}.")
        self._is_writing = True
        self._refused = []
        try:
            with self._kept.opened() as connection:
                return self._write(connection, rows)
        finally:
            self._is_writing = False

    def _write(self, connection: Connection, rows: Sequence[Row]) -> Written:
        try:
            with connection.cursor() as cursor:
                written = self._store(cursor, rows)
        except _TooManyChunksError:
            connection.rollback()
            by_time, middle = self.table.by_time(rows), len(rows) // 2
            return self._write(connection, by_time[:middle]).plus(self._write(connection, by_time[middle:]))
        connection.commit()
        return written

    def _connect(self) -> Connection:
        connection = connect(self._dsn, f"writer {self.table.name}")
        with connection.cursor() as cursor:
            cursor.execute(self._statements.create_staging)
        connection.commit()
        return connection

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> Written:
        unfit: list[tuple[Row, Exception]] = []

        def reject(row: Row, error: Exception) -> None:
            unfit.append((row, error))

        cursor.execute(self._statements.lock_table)
        inserted = store_what_fits(rows, lambda part: self._attempt(cursor, part), reject, UNFIT)
        if unfit:
            _raise_what_concerns_all(rows, [error for _, error in unfit])
            self._on_refused([row for row, _ in unfit])
            self._keep(cursor, [refused(self.table, row, str(error).strip()) for row, error in unfit])
        return Written(inserted, len(rows) - inserted - len(unfit), len(unfit))

    def _keep(self, cursor: psycopg2.extensions.cursor, unfit: list[RefusedRow]) -> None:
        log.warning("rows quarantined", table=self.table.name, rows=len(unfit), first_reason=unfit[0].reason)
        if self._set_aside is None:
            quarantine(cursor, unfit)
        else:
            self._refused += unfit

    def _attempt(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> int:
        content = copy_bytes(self.table, latest_of_each(self.table, rows))
        cursor.execute(self._statements.begin_attempt)
        try:
            try:
                inserted = self._load(cursor, content)
            except psycopg2.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # No constraint was violated: a row found no chunk. The new chunks stay whatever comes of this attempt.
                cursor.execute(END_ATTEMPT)
                self._ensure_chunks(cursor, rows)
                cursor.execute(self._statements.begin_attempt)
                inserted = self._load(cursor, content)
        except (*REFUSED_BY_THE_DATABASE, *SUSPECT):
            cursor.execute(END_ATTEMPT)
            raise
        cursor.execute("RELEASE SAVEPOINT attempt")
        return inserted

    def _load(self, cursor: psycopg2.extensions.cursor, content: bytes) -> int:
        """How many of the rows were new."""
        if not self.table.key and not self._conflicts.are_expected():
            try:
                cursor.copy_expert(self._statements.copy_to_table, io.BytesIO(content), READ_SIZE)
            except psycopg2.errors.UniqueViolation:
                cursor.execute("ROLLBACK TO SAVEPOINT attempt")
                self._conflicts.met_one()
            else:
                self._conflicts.met_none()
                return cursor.rowcount
        cursor.copy_expert(self._statements.copy_to_staging, io.BytesIO(content), READ_SIZE)
        cursor.execute(self._statements.insert)
        return cursor.rowcount

    def _ensure_chunks(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> None:
        hours = {time_us // HOUR_US for time_us in self.table.times_us(rows)}
        if len(hours) > NEW_CHUNKS_AT_ONCE:
            raise _TooManyChunksError
        for hour in sorted(hours):
            cursor.execute(self._statements.ensure_chunk, (hour,))


def _raise_what_concerns_all(rows: Sequence[Row], errors: Sequence[Exception]) -> None:
    """A suspect error is a row's own only if others of its batch were stored."""
    if len(errors) == len(rows):
        for error in errors:
            if isinstance(error, SUSPECT):
                raise error
