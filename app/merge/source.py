"""Read one table of a gatherer in the order of its commits, and confirm to the gatherer what production has stored.

In: the position after which to read. Out: a `Pull` of rows in COPY's binary form, which are passed on undecoded. Each
read begins at the row that was read last: if that row is not found unchanged, the database is another one or was
restored, and reading starts at the beginning again.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.merge.position import BEGINNING, Position, Pull, Shard
from app.normalize.values import digest64
from app.postgres.connection import Connection, KeptConnection, connect, connected, value_of
from app.postgres.dsn import Dsn
from app.storage.arrivals import Reach, arrivals_from, is_disturbed, tables_with_noted_compression
from app.storage.binary_copy import HEADER, POSTGRES_EPOCH_US, TRAILER
from app.storage.confirmation import NAME_OF_PRODUCTION
from app.storage.tables import Table

# Rows in COPY's binary form, decoded only as far as the position needs it.

# The number of fields, then each field's length and value. Every row starts with ingest_id, the event's time,
# received_at.
HEAD = struct.Struct("!hiqiqiq")
END_US = 7_258_118_400_000_000  # 2200
FIELDS = struct.Struct("!h")
LENGTH = struct.Struct("!i")


class Chunks(list[bytes]):
    """A file object that collects what COPY writes: one piece a row, the first one preceded by the header, and the
    trailer."""

    write = list.append

    def read(self, _size: int = -1) -> bytes:
        raise NotImplementedError

    def rows(self) -> list[bytes]:
        if len(self) < 2:
            return []
        return [self[0][len(HEADER) :], *self[1:-1]]


def ingest_id_of(row: bytes) -> int:
    return int(HEAD.unpack_from(row)[2])


def received_us_of(row: bytes) -> int | None:
    """Return the time at which the row was received. Return None if it has none, or one outside 1970 to 2200."""
    *_, time_bytes, _, received_bytes, postgres_us = HEAD.unpack_from(row)
    received_us = int(postgres_us) + POSTGRES_EPOCH_US
    return received_us if time_bytes == received_bytes == 8 and 0 < received_us < END_US else None


def probe_of(row: bytes) -> int:
    return digest64(row)


def content_of(rows: Iterable[bytes]) -> bytes:
    return b"".join((HEADER, *rows, TRAILER))


def split_rows(content: bytes) -> Iterator[bytes]:
    """Yield the rows that content_of() joined."""
    start = len(HEADER)
    while (fields := FIELDS.unpack_from(content, start)[0]) >= 0:
        end = start + FIELDS.size
        for _ in range(fields):
            end += LENGTH.size + max(LENGTH.unpack_from(content, end)[0], 0)
        yield content[start:end]
        start = end


FIRST_GUESS_ROW_BYTES = 150
LEAST_ROWS, MOST_ROWS = 100, 100_000
# Ids have gaps: a row that was already known has used up an id.
NEAR = sql.SQL("ingest_id >= $1 AND ingest_id < $1 + 2 * $2")
SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"
# The index must be used, whatever statistics suggest. Planning for a week of hourly chunks takes twenty times as long
# as reading them, so statements are planned once a session.
ALONG_THE_INDEX = """
    SET plan_cache_mode = force_generic_plan;
    SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off
"""
# A confirmation from before productions were distinguished belongs to the first production that confirms beyond the
# beginning.
ADOPT = """
    UPDATE confirmations SET production = %(production)s WHERE table_name = %(table)s AND production = ''
        AND NOT EXISTS (SELECT FROM confirmations WHERE production = %(production)s AND table_name = %(table)s)
"""
CONFIRM = """
    INSERT INTO confirmations AS confirmed (production, table_name, ingest_id)
    VALUES (%(production)s, %(table)s, %(ingest_id)s)
    ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id, confirmed_at = now()
    WHERE confirmed.ingest_id <> excluded.ingest_id
"""
# A production registers before it begins to read: from then on nothing is dropped that it has not read.
BEGIN = """
    INSERT INTO confirmations (production, table_name, ingest_id) VALUES (%(production)s, %(table)s, 0)
    ON CONFLICT DO NOTHING
"""
# Find rows that this production had confirmed before it was restored or recreated, or that were dropped before it first
# read.
LOST_BEFORE = """
    SELECT dropped_through FROM chunked_tables JOIN confirmations USING (table_name)
    WHERE table_name = %(table)s AND ingest_id > %(ingest_id)s AND dropped_through > '-infinity' AND (
        production = %(production)s OR NOT EXISTS (
            SELECT FROM confirmations WHERE table_name = %(table)s AND production = %(production)s AND ingest_id > 0
        )
    ) LIMIT 1
"""


def name_of(production: Dsn) -> Callable[[], str]:
    """Return a function that names the production, by its server's identifier and its database name. It queries
    once."""

    @cache
    def name() -> str:
        with connected(production, "deduplicator") as connection:
            return str(value_of(connection, NAME_OF_PRODUCTION))

    return name


class _Window(NamedTuple):
    """The next rows from an id on, and the times that they span, which limit the read to the chunks of these times."""

    rows: int
    last_ingest_id: int
    first_time: datetime
    last_time: datetime


class GathererTable:
    """A table of one gatherer, read in the order in which its rows were committed: app/storage/arrivals.py."""

    def __init__(
        self,
        gatherer: str,
        dsn: Dsn,
        table: Table,
        shard: Shard,
        batch_bytes: int,
        production: Callable[[], str] = lambda: "",
    ) -> None:
        self.gatherer = gatherer
        self._production = production  # returns the name under which this production confirms rows
        self.table = table
        self._dsn = dsn
        self._shard = shard
        self._batch_bytes = batch_bytes
        self._row_bytes = FIRST_GUESS_ROW_BYTES
        self._statements = _SourceStatements(table, shard)
        what = f"Reading {table.name} of {gatherer} failed."
        self._kept = KeptConnection(self._connect, what, "run kalshi-data migrate there.")
        self._system_identifier = 0
        self._noted: frozenset[str] = frozenset()
        self._has_begun = False
        self._had_read = 0  # how far this database had been read before reading started again at the beginning

    def pull(self, after: Position) -> Pull:
        """Return the next rows, about as many as fill a batch. The same rows can be pulled again."""
        with self._kept.opened() as session:
            return self._pull(session, after)

    def confirm(self, position: Position) -> bool:
        """Confirm to the gatherer that rows up to the position are stored. Return False if it is not the database that
        was read."""
        with self._kept.opened() as session:
            # In the session that has just seen the row: if the database is replaced meanwhile, the session does not
            # survive it.
            rows, _ = self._read(session, position.ingest_id, 1)
            if not self._is_known(position, rows):
                return False
            with session, session.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ WRITE")
                where = {"production": self._production(), "table": self.table.name}
                cursor.execute(ADOPT, where)
                cursor.execute(CONFIRM, {**where, "ingest_id": position.ingest_id})
        return True

    def close(self) -> None:
        self._kept.close()

    def _pull(self, session: Connection, after: Position) -> Pull:
        if after.is_beginning and not self._has_begun:
            self._begin(session)
        wanted = self._rows_at_once()
        rows, has_more = self._read(session, after.ingest_id, wanted)
        anew = Position(self._system_identifier, 0)
        if after.is_beginning:
            lost_before = self._lost_before(session, after)
        elif self._is_known(after, rows):
            lost_before, rows = None, rows[1:]
        else:
            lost_before = self._lost_before(session, after)
            self._had_read = 0 if lost_before else after.ingest_id
            return Pull(after, anew, lost_before=lost_before)
        if not rows:
            return Pull(after, anew if after.is_beginning else after, lost_before=lost_before)
        content, last = content_of(rows), rows[-1]
        self._row_bytes = len(content) // len(rows)
        through = Position(self._system_identifier, ingest_id_of(last), probe_of(last))
        return Pull(after, through, len(rows), content, received_us_of(last), has_more, lost_before)

    def _begin(self, session: Connection) -> None:
        if production := self._production():
            with session, session.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ WRITE")
                cursor.execute(BEGIN, {"production": production, "table": self.table.name})
        self._has_begun = True

    def _lost_before(self, session: Connection, after: Position) -> datetime | None:
        """Return the time before which rows were dropped that production needs, or None. A replaced database has
        dropped none: nothing of it was ever confirmed."""
        if after.system_identifier not in (BEGINNING.system_identifier, self._system_identifier):
            return None
        with session, session.cursor() as cursor:
            had_read = max(after.ingest_id, self._had_read)
            where = {"production": self._production(), "table": self.table.name, "ingest_id": had_read}
            cursor.execute(LOST_BEFORE, where)
            found: tuple[datetime] | None = cursor.fetchone()
        return found and found[0]

    def _is_known(self, after: Position, rows: Sequence[bytes]) -> bool:
        if after.system_identifier != self._system_identifier or not rows:
            return False
        return (ingest_id_of(rows[0]), probe_of(rows[0])) == (after.ingest_id, after.probe)

    def _read(self, session: Connection, from_ingest_id: int, most_rows: int) -> tuple[list[bytes], bool]:
        """Return the rows from this id on, and whether there are more."""
        while True:
            with arrivals_from(session, self.table.name, from_ingest_id, self._noted) as (cursor, reach):
                rows, has_more = self._read_within(cursor, reach, from_ingest_id, most_rows)
            # A single row that was already known is no news, so a disturbance cannot have made it wrong.
            is_idle = len(rows) == 1 and ingest_id_of(rows[0]) == from_ingest_id
            if is_idle or not is_disturbed(session, reach):
                return rows, has_more

    def _read_within(
        self, cursor: psycopg2.extensions.cursor, reach: Reach | None, from_ingest_id: int, most_rows: int
    ) -> tuple[list[bytes], bool]:
        window, has_more = self._window(cursor, reach, from_ingest_id, most_rows)
        if not window.rows:
            return [], False
        chunks = Chunks()
        read = cursor.mogrify(self._statements.read, {"from_ingest_id": from_ingest_id, **window._asdict()})
        cursor.copy_expert(read, chunks)
        return chunks.rows(), has_more

    def _window(
        self, cursor: psycopg2.extensions.cursor, reach: Reach | None, from_ingest_id: int, most_rows: int
    ) -> tuple[_Window, bool]:
        look = self._statements.look
        if reach is not None and reach.is_past_compressed:
            look = self._statements.look_past_compressed
        elif reach is not None:
            # The look for the next rows would open all later rows of compressed chunks: bounds on the id keep it to
            # near ones.
            near = self._look(cursor, self._statements.look_near, from_ingest_id, most_rows)
            if near.rows >= min(most_rows, 2):
                return near, True
        window = self._look(cursor, look, from_ingest_id, most_rows)
        return window, window.rows == most_rows

    @staticmethod
    def _look(cursor: psycopg2.extensions.cursor, look: sql.Composable, from_ingest_id: int, most_rows: int) -> _Window:
        cursor.execute(look, (from_ingest_id, most_rows))
        return _Window(*(cursor.fetchone() or (0, 0, None, None)))

    def _rows_at_once(self) -> int:
        """Return how many rows to read. One more than wanted, since the last row is read again; times the number of
        shards, since a window also counts other shards' rows."""
        rows = self._batch_bytes * self._shard.of // self._row_bytes
        return min(max(rows, LEAST_ROWS), MOST_ROWS) + 1

    def _connect(self) -> Connection:
        session = connect(self._dsn, f"deduplicator {self.table.name}")
        session.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with session, session.cursor() as cursor:
            cursor.execute(ALONG_THE_INDEX)
            cursor.execute(self._statements.prepare)
        self._noted = tables_with_noted_compression(session)
        self._has_begun = False
        self._system_identifier = int(value_of(session, SYSTEM_IDENTIFIER))
        session.commit()
        return session


class _SourceStatements:
    """The SQL statements that read one table's shard, composed once for all pulls."""

    def __init__(self, table: Table, shard: Shard) -> None:
        names = {
            "table": sql.Identifier(table.name),
            "time": sql.Identifier(table.time_column),
            "columns": sql.SQL(", ").join(map(sql.Identifier, table.column_names)),
        }
        look = sql.SQL("""
            PREPARE {look} (BIGINT, BIGINT) AS
            SELECT count(*), max(ingest_id), min({time}), max({time})
            FROM (SELECT ingest_id, {time} FROM {table} WHERE {wanted} ORDER BY ingest_id LIMIT $2) AS ahead
        """)
        # One plan each for uncompressed rows, compressed rows and near rows.
        wanted = sql.SQL("ingest_id >= $1")
        plans = {"look": wanted, "look_past_compressed": wanted, "look_near": NEAR}
        self.prepare = sql.SQL("; ").join(
            look.format(look=sql.Identifier(plan), wanted=which, **names) for plan, which in plans.items()
        )
        self.look, self.look_past_compressed, self.look_near = (
            sql.SQL("EXECUTE {} (%s, %s)").format(sql.Identifier(plan)) for plan in plans
        )
        rows = sql.SQL("""
            SELECT ingest_id, {columns} FROM {table}
            WHERE ingest_id BETWEEN %(from_ingest_id)s AND %(last_ingest_id)s
                AND {time} BETWEEN %(first_time)s AND %(last_time)s
            ORDER BY ingest_id
        """).format(**names)
        if shard.of > 1:
            # The first and the last row are read even if they are another shard's: the position is made of them, and
            # merging them once more does no harm.
            rows = sql.SQL("""
                SELECT ingest_id, {columns} FROM ({rows}) AS ahead
                WHERE {mine} OR ingest_id IN (%(from_ingest_id)s, %(last_ingest_id)s)
            """).format(rows=rows, mine=shard.holds("ticker"), **names)
        self.read = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(rows)
