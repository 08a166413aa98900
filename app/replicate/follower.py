"""Copy tables of a gatherer to production, from where the last copy stopped.

The cursor is committed with the rows it counts, so a crash repeats rows and never loses any. A probe is kept with the
cursor: it shows later whether the source was restored to an earlier state, in which case it is read from its beginning.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection, KeptConnection, claimed, connect
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.storage.arrivals import TABLE_LOCK, arrivals, connect_for_arrivals
from app.storage.binary_copy import HEADER, TRAILER
from app.storage.tables import EVENTS, GAPS, MARKETS, SERIES, SUBSCRIPTIONS, Table

# The position up to which a gatherer's table was read. It is kept beside its rows: both are committed together.

SAVE = """
    INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id, probe) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (gatherer, table_name, shard) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id, probe = excluded.probe,
        updated_at = now()
"""
READ = "SELECT ingest_id, probe FROM sync_cursors WHERE gatherer = %s AND table_name = %s AND system_identifier = %s"


class Through(NamedTuple):
    """The position up to which a table was read."""

    ingest_id: int
    probe: int | None  # None: unknown


NOTHING = Through(0, None)


def system_identifier(cursor: psycopg2.extensions.cursor) -> int:
    """Return the server's identifier: another server is another source, whatever its database is called."""
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    (identifier,) = cursor.fetchone() or (0,)
    return int(identifier)


def read_through(production: Connection, gatherer: str, table_name: str, identifier: int) -> Through | None:
    """Return up to where this source's table was read, or None if it never was."""
    with production.cursor() as cursor:
        cursor.execute(READ, (gatherer, table_name, identifier))
        row = cursor.fetchone()
    return Through(*row) if row else None


def save_cursor(
    cursor: psycopg2.extensions.cursor, gatherer: str, table_name: str, identifier: int, through: Through
) -> None:
    cursor.execute(SAVE, (gatherer, table_name, identifier, *through))


def is_older_state(cursor: psycopg2.extensions.cursor, is_older: sql.Composed, through: Through) -> bool:
    """Return whether the source was restored to an earlier state since it was read, even if it has new rows now."""
    cursor.execute(is_older, through._asdict())
    return cursor.fetchone() == (True,)


# The replicated tables are the ones whose rows need no merging with rows of other gatherers: what a gatherer knows of
# the exchange, and of its own recording.

# The probe that shows later whether a table is still the one that was read: its newest time, or a digest of the last
# row.
NEWEST_US = "(extract(epoch FROM max({time})) * 1000000)::BIGINT"
DIGEST = "hashtextextended(ROW({columns})::TEXT, 0)"
LAST_DIGEST = "(array_agg({digest} ORDER BY source_ingest_id DESC))[1]"
# Rows up to the last one read cannot be newer than the rows read, unless an earlier state gave their ids to other rows.
HAS_NEWER = """
    SELECT %(ingest_id)s > (SELECT coalesce(max(ingest_id), 0) FROM {source}) OR EXISTS (
        SELECT FROM {source} WHERE ingest_id <= %(ingest_id)s
            AND {time} > TIMESTAMPTZ 'epoch' + %(probe)s * INTERVAL '1 microsecond'
    )
"""
# The row read last may have received another id since, and old rows are dropped; but no other row ever receives its id.
HAS_ANOTHER = """
    SELECT %(ingest_id)s > last_id_given({literal_source}) OR EXISTS (
        SELECT FROM {source} WHERE ingest_id = %(ingest_id)s AND {digest} <> %(probe)s
    )
"""


class ReplicatedTable(NamedTuple):
    source: Table
    target: str
    replaces: str  # the condition under which an existing row is replaced
    is_per_gatherer: bool
    is_read_on: bool  # others read the target by its own ingest_id


def _metadata(table: Table, exchange_time: str) -> ReplicatedTable:
    """Return the copy of a table of metadata. The exchange's own time of change decides which row is newer, then ours.

    The exchange's time has precedence because its answers may be cached. Between answers without it, or with equal
    ones, a cached answer or a fast clock may win, until that gatherer asks again behind the cache, 20 seconds after
    every announcement, opening and closing. Ordering by status instead would keep the exchange from going back, as it
    does when it amends. This order is total: whichever gatherer is read first, and however often, all end with the same
    row.
    """
    newer = f"(coalesce(excluded.{exchange_time}, '-infinity'), excluded.updated_at)"
    older = f"(coalesce(target.{exchange_time}, '-infinity'), target.updated_at)"
    return ReplicatedTable(table, table.name, f"{newer} > {older}", is_per_gatherer=False, is_read_on=True)


def _journal(table: Table) -> ReplicatedTable:
    """Return the copy of a table of the journal.

    Only one gatherer ever writes these rows, but a restored database is read again from its beginning.
    """
    rest = [name for name in table.column_names if name not in table.key]
    newer, older = (", ".join(f"{row}.{name}" for name in rest) for row in ("excluded", "target"))
    target = f"gatherer_{table.name}"
    return ReplicatedTable(
        table, target, f"({newer}) IS DISTINCT FROM ({older})", is_per_gatherer=True, is_read_on=False
    )


METADATA_COPIES = (
    _metadata(SERIES, "last_updated_ts"),
    _metadata(EVENTS, "last_updated_ts"),
    _metadata(MARKETS, "updated_time"),
)
JOURNAL_COPIES = (_journal(SUBSCRIPTIONS), _journal(GAPS))


class CopyStatements:
    """The SQL statements of one copy. All take the parameter `gatherer`, even if the target has no column for it."""

    def __init__(self, copy: ReplicatedTable) -> None:
        self._values = values = _values(copy)

        def statement(text: str) -> sql.Composed:
            return sql.SQL(text).format(**values)

        self.create_staging = statement(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DELETE ROWS AS "
            "SELECT 0::BIGINT AS source_ingest_id, {columns} FROM {target} WITH NO DATA"
        )
        self.load = statement("COPY {staging} FROM STDIN (FORMAT binary)")
        self.load_without_ids = statement("COPY {staging} ({columns}) FROM STDIN (FORMAT binary)")
        self.lock = statement(f"SELECT pg_advisory_xact_lock({TABLE_LOCK % '{literal}'})")
        self.merge = statement("""
            INSERT INTO {target} AS target ({written})
            SELECT {selected}{columns} FROM {staging}
            ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE {replaces}
        """)
        self.progress = statement("SELECT count(*), coalesce(max(source_ingest_id), 0), {probe} FROM {staging}")
        self.is_older = statement(HAS_ANOTHER if copy.is_per_gatherer else HAS_NEWER)

    def read(self, after: int, rows: int) -> sql.Composed:
        """Return the COPY statement for the next rows. COPY takes no parameters, so they are literals."""
        return sql.SQL(
            "COPY (SELECT ingest_id, {columns} FROM {source} WHERE ingest_id > {after} ORDER BY ingest_id LIMIT {rows})"
            " TO STDOUT (FORMAT binary)"
        ).format(after=sql.Literal(after), rows=sql.Literal(rows), **self._values)


def _values(copy: ReplicatedTable) -> dict[str, sql.Composable]:
    names = copy.source.column_names
    own = ("gatherer",) if copy.is_per_gatherer else ()
    changing = [name for name in names if name not in copy.source.key]
    time, digest = sql.Identifier(copy.source.time_column), sql.SQL(DIGEST).format(columns=_names(names))
    return {
        "source": sql.Identifier(copy.source.name),
        "target": sql.Identifier(copy.target),
        "staging": sql.Identifier(f"staging_{copy.target}"),
        "columns": _names(names),
        "time": time,
        "digest": digest,
        "probe": sql.SQL(LAST_DIGEST if copy.is_per_gatherer else NEWEST_US).format(time=time, digest=digest),
        "literal_source": sql.Literal(copy.source.name),
        "written": _names((*own, *names)),
        "selected": sql.SQL("%(gatherer)s, " if copy.is_per_gatherer else ""),
        "key": _names((*own, *copy.source.key)),
        "changes": sql.SQL(", ").join(
            [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changing]
            + ([sql.SQL("ingest_id = DEFAULT")] if copy.is_read_on else [])
        ),
        "replaces": sql.SQL(copy.replaces),
        "literal": sql.Literal(copy.target),
    }


def _names(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


log = logs.get(__name__)

BATCH_ROWS = 5_000


class _Batch(NamedTuple):
    identifier: int
    after: Through
    is_read_anew: bool  # also True for the first reading
    content: bytes

    @property
    def has_rows(self) -> bool:
        return len(self.content) > len(HEADER) + len(TRAILER)


class Follower:
    """Copy some tables of one gatherer's database into production. A round without new rows writes nothing."""

    def __init__(
        self,
        gatherer: str,
        source: Dsn,
        production: Dsn,
        copies: Sequence[ReplicatedTable],
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.gatherer = gatherer
        self._copies = {copy: CopyStatements(copy) for copy in copies}
        self._batch_rows = batch_rows
        self._name = name = f"follower {gatherer}"
        self._source = KeptConnection(
            lambda: connect_for_arrivals(source, name),
            f"Following the database of {gatherer} failed.",
            "run kalshi-data migrate there.",
        )
        self._production = KeptConnection(lambda: connect(production, name), f"Storing what {gatherer} knows failed.")

    def round(self) -> dict[str, int]:
        """Copy until nothing is left. Return the rows by table; nothing if another process holds the claim."""
        with self._production.opened() as production, claimed(production, self._name) as is_ours:
            if not is_ours:
                return {}
            with self._source.opened() as session:
                return self.follow(session, production)

    def follow(self, session: Connection, production: Connection) -> dict[str, int]:
        return {copy.source.name: self._follow(copy, session, production) for copy in self._copies}

    def close(self) -> None:
        self._source.close()
        self._production.close()

    def _follow(self, copy: ReplicatedTable, session: Connection, production: Connection) -> int:
        rows = 0
        while True:
            batch = self._read(copy, session, production)
            stored = self._store(copy, batch, production) if batch.has_rows or batch.is_read_anew else 0
            rows += stored
            if stored < self._batch_rows:
                return rows

    def _read(self, copy: ReplicatedTable, session: Connection, production: Connection) -> _Batch:
        statements = self._copies[copy]
        with arrivals(session, copy.source.name) as cursor, production:
            identifier = system_identifier(cursor)
            through = read_through(production, self.gatherer, copy.source.name, identifier)
            after = through or NOTHING
            is_older = is_older_state(cursor, statements.is_older, after)
            if is_older:
                log.warning(
                    "table read again from the beginning: it is older than at the last read",
                    gatherer=self.gatherer,
                    table=copy.source.name,
                )
                after = NOTHING
            content = io.BytesIO()
            cursor.copy_expert(statements.read(after.ingest_id, self._batch_rows), content)
        return _Batch(identifier, after, is_older or through is None, content.getvalue())

    def _store(self, copy: ReplicatedTable, batch: _Batch, production: Connection) -> int:
        statements = self._copies[copy]
        rows, through = 0, batch.after
        with production, production.cursor() as cursor:
            if batch.has_rows:
                cursor.execute(statements.create_staging)
                cursor.copy_expert(statements.load, io.BytesIO(batch.content))
                cursor.execute(statements.progress)
                rows, *staged = cursor.fetchone() or (0, *NOTHING)
                through = _further(copy, batch.after, Through(*staged))
                cursor.execute(statements.lock)
                cursor.execute(statements.merge, {"gatherer": self.gatherer})
            save_cursor(cursor, self.gatherer, copy.source.name, batch.identifier, through)
        return rows


def _further(copy: ReplicatedTable, before: Through, staged: Through) -> Through:
    """Return the new position of a cursor.

    The last row is the probe of a journal. For metadata, the probe is the newest time, which may have been read long
    ago.
    """
    if copy.is_per_gatherer:
        return staged
    known_us = [time_us for time_us in (before.probe, staged.probe) if time_us is not None]
    return Through(max(before.ingest_id, staged.ingest_id), max(known_us, default=None))
