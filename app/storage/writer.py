"""Write batches of rows into one table by binary COPY, one transaction per batch.

In: rows from a write queue. Out: committed rows; rows that do not fit go to quarantine. Writing a batch again after a
failure is safe. Every transaction takes the table's lock first, so that ids commit in order (app/storage/arrivals.py).
"""

import io
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from app.errors import DatabaseError
from app.postgres.connection import Connection, KeptConnection, connect
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.threads import Offload, inline
from app.storage.arrivals import TABLE_LOCK
from app.storage.binary_copy import UnfitValueError, copy_bytes
from app.storage.quarantine import RefusedRow, quarantine, refused, store_what_fits
from app.storage.tables import MARKETS, NO_DETAILS, TOLD_COLUMNS, UPDATED_AT, Row, Table

DETAILS = MARKETS.column_names.index("details")
TOLD = {MARKETS.column_names.index(name) for name in TOLD_COLUMNS}


def latest_of_each(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the last row of each key, or the newest if rows carry `updated_at`."""
    if not table.key:
        return rows
    try:
        return _latest(table, rows)
    except (IndexError, TypeError) as error:
        raise UnfitValueError(f"a row is too short, or its key is null: {error}") from error


def _latest(table: Table, rows: Sequence[Row]) -> list[Row]:
    key_of = itemgetter(*map(table.column_names.index, table.key))
    if UPDATED_AT in table.column_names:
        # Sorting is stable: among equally new rows the last stays last.
        rows = sorted(rows, key=itemgetter(table.column_names.index(UPDATED_AT)))
    latest: dict[object, Row] = {}
    for row in rows:
        key = key_of(row)
        latest[key] = _completed(row, latest.get(key)) if table is MARKETS and row[DETAILS] == NO_DETAILS else row
    return list(latest.values())


def _completed(told: Row, known: Row | None) -> Row:
    """Do what complete_told_market() does, for a market whose row is in the same batch."""
    if known is None:
        return told
    return tuple(told[at] if at in TOLD else value for at, value in enumerate(known))


class WriteStatements:
    """The SQL statements for writing into one table."""

    def __init__(self, table: Table) -> None:
        names = {
            "table": sql.Identifier(table.name),
            "literal": sql.Literal(table.name),
            "staging": sql.Identifier(f"staging_{table.name}"),
            "columns": _list("{}", table.column_names),
        }

        def statement(text: str) -> sql.Composed:
            return sql.SQL(text).format(**names)

        self.create_staging = statement(
            "CREATE TEMPORARY TABLE {staging} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {table} WITH NO DATA"
        )
        # Without this lock, a transaction that began earlier could commit later, and a reader by ingest_id would miss
        # its rows.
        self.lock_table = statement(f"SELECT pg_advisory_xact_lock({TABLE_LOCK % '{literal}'})")
        # If a batch is bisected, an earlier part may still be staged.
        self.begin_attempt = statement("DELETE FROM {staging}; SAVEPOINT attempt")
        self.copy_to_table = statement("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")
        self.copy_to_staging = statement("COPY {staging} ({columns}) FROM STDIN (FORMAT binary)")
        insert = statement("INSERT INTO {table} AS known ({columns}) SELECT {columns} FROM {staging} ")
        self.insert = insert + (_replace_what_changed(table) if table.key else sql.SQL("ON CONFLICT DO NOTHING"))
        self.ensure_chunk = statement("SELECT ensure_chunk({literal}, 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 hour')")


def _replace_what_changed(table: Table) -> sql.Composed:
    others = [name for name in table.column_names if name not in table.key]
    telling = [name for name in others if name != UPDATED_AT]
    replace = sql.SQL(
        "ON CONFLICT ({key}) DO UPDATE SET {replaced}, ingest_id = DEFAULT WHERE ({known}) IS DISTINCT FROM ({given})"
    ).format(
        key=_list("{}", table.key),
        replaced=_list("{0} = EXCLUDED.{0}", others),
        known=_list("known.{}", telling),
        given=_list("EXCLUDED.{}", telling),
    )
    is_not_older = sql.SQL(" AND EXCLUDED.{0} >= known.{0}").format(sql.Identifier(UPDATED_AT))
    return replace + is_not_older if UPDATED_AT in others else replace


def _list(form: str, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in names)


MOST_STAGED_BATCHES = 128


class Conflicts:
    """Predicts whether the next batch contains a known row, so that plain COPY would fail and staging is better.

    Each correct prediction doubles the number of batches it is made for. Rows that are written again after a spill are
    one conflict; rows that each of two sockets delivers conflict in nearly every batch.
    """

    def __init__(self) -> None:
        self._expected_batches = 0
        self._batches_after_next = 1

    def are_expected(self) -> bool:
        """Return the prediction for the next batch. Call it once per batch."""
        if self._expected_batches == 0:
            return False
        self._expected_batches -= 1
        return True

    def met_one(self) -> None:
        self._expected_batches = self._batches_after_next
        self._batches_after_next = min(2 * self._batches_after_next, MOST_STAGED_BATCHES)

    def met_none(self) -> None:
        self._batches_after_next = max(self._batches_after_next // 2, 1)


log = logs.get(__name__)

REFUSED_BY_THE_DATABASE = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    # An index and the JSON parser have limits too.
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)
# Errors that mean either a broken database or a row that it cannot handle; see _raise_what_concerns_all().
SUSPECT = (psycopg2.InternalError, psycopg2.NotSupportedError)
UNFIT = (*REFUSED_BY_THE_DATABASE, *SUSPECT, UnfitValueError)
READ_SIZE = 1 << 20
HOUR_US = 3_600_000_000
NEW_CHUNKS_AT_ONCE = 100
END_ATTEMPT = "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt"


class WriteResult(NamedTuple):
    inserted: int  # new rows, and rows that replaced a known one
    conflicting: int  # rows that were already stored, or that a newer row of the batch replaces
    quarantined: int

    def plus(self, other: "WriteResult") -> "WriteResult":
        return WriteResult(*map(sum, zip(self, other, strict=True)))


class _TooManyChunksError(Exception):
    """The batch needs too many new chunks: each is locked until the commit, and the lock table is limited."""


class CopyWriter:
    """Writes batches of rows into a table by binary COPY, each in one transaction.

    Rows that are already stored are skipped. A row that does not fit is quarantined while the rest of its batch is
    stored.

    A batch goes straight into the table, which costs half as much as a staging table with ON CONFLICT. Staging is used
    when the direct COPY meets a stored row, and for a while after, since conflicts come in groups.

    Into a table with a key, all rows go through staging: a row replaces the one with its key if it differs and is not
    older. A replaced row gets a new ingest_id, so that readers by ingest_id see it.

    Rows that do not fit are quarantined in the transaction of their batch or, if the database has no table for them,
    given to `set_aside` after it. `on_refused` is called with them before the transaction is committed.

    Rows that are spread over very many chunks, for example of a back-fill, take several transactions.

    write() returns after the commit. If the database fails, the batch may or may not have been written; writing it
    again is safe, and reconnects.
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
        self._statements = WriteStatements(table)
        self._conflicts = Conflicts()
        self._is_writing = False

    def write(self, rows: Sequence[Row]) -> WriteResult:
        written = self._offload(self._write_once, rows)
        if self._set_aside is not None and self._refused:
            self._set_aside(list(self._refused))
        return written

    def close(self) -> None:
        self._kept.close()

    def _write_once(self, rows: Sequence[Row]) -> WriteResult:
        if self._is_writing:
            # The caller was killed while it waited, but its worker thread cannot be.
            raise DatabaseError(f"An earlier batch is still being written to {self.table.name}.")
        self._is_writing = True
        self._refused = []
        try:
            with self._kept.opened() as connection:
                return self._write(connection, rows)
        finally:
            self._is_writing = False

    def _write(self, connection: Connection, rows: Sequence[Row]) -> WriteResult:
        try:
            with connection.cursor() as cursor:
                written = self._store(cursor, rows)
        except _TooManyChunksError:
            connection.rollback()
            # Halves by time touch fewer chunks each.
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

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> WriteResult:
        unfit: list[tuple[Row, Exception]] = []

        def reject(row: Row, error: Exception) -> None:
            unfit.append((row, error))

        cursor.execute(self._statements.lock_table)
        inserted = store_what_fits(rows, lambda part: self._attempt(cursor, part), reject, UNFIT)
        if unfit:
            _raise_what_concerns_all(rows, [error for _, error in unfit])
            self._on_refused([row for row, _ in unfit])
            self._keep(cursor, [refused(self.table, row, str(error).strip()) for row, error in unfit])
        return WriteResult(inserted, len(rows) - inserted - len(unfit), len(unfit))

    def _keep(self, cursor: psycopg2.extensions.cursor, unfit: list[RefusedRow]) -> None:
        log.warning("rows quarantined", table=self.table.name, rows=len(unfit), first_reason=unfit[0].reason)
        if self._set_aside is None:
            quarantine(cursor, unfit)
        else:
            self._refused += unfit

    def _attempt(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> int:
        content = copy_bytes(self.table, latest_of_each(self.table, rows))
        # A savepoint, since a failed COPY would otherwise abort the transaction with the parts that are stored already.
        cursor.execute(self._statements.begin_attempt)
        try:
            try:
                inserted = self._load(cursor, content)
            except psycopg2.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # No named constraint was violated: a row found no chunk. The new chunks stay even if this attempt
                # fails.
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
        """Load the rows and return how many were new."""
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
    """Raise a suspect error only if every row of the batch failed: then the database is the cause, not a row."""
    if len(errors) == len(rows):
        for error in errors:
            if isinstance(error, SUSPECT):
                raise error
