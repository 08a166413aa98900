"""One round of merging: rows pulled from all gatherers go into one table of production.

In: one `Pull` a gatherer. Out: one transaction with the rows, the cursors and the statistics. The fast path loads all
rows unchecked. If the database refuses a row, the round is repeated row by row: the table's own constraints decide
which rows go to quarantine, and missing chunks are created before.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.merge.cursors import CursorMovedError, Cursors
from app.merge.ownership import Claim
from app.merge.position import Position, Pull, Shard
from app.merge.rules import Rule
from app.merge.source import content_of, received_us_of, split_rows
from app.merge.statements import MergeStatements, apply_rule
from app.postgres.connection import FREED_IN_TIME, Connection, KeptConnection, connect
from app.postgres.dsn import Dsn
from app.runtime.clock import now_us
from app.storage.quarantine import RefusedRow, quarantine, store_what_fits
from app.storage.tables import Table
from app.storage.writer import REFUSED_BY_THE_DATABASE

# Sifting: rows that production refuses go to quarantine, found by the table's own constraints.

LOAD = "COPY staging ({}) FROM STDIN (FORMAT binary)"
READ_SIZE = 1 << 20
CHECKS = """
    SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint
    WHERE conrelid = %s::REGCLASS AND contype = 'c' ORDER BY conname
"""
# A row in quarantine does not count as received: sql/production/0038_judged.sql
SIFT = sql.SQL("""
    WITH refused AS (DELETE FROM staging WHERE {is_refused} RETURNING *),
    kept AS (
        INSERT INTO quarantine (table_name, reason, payload)
        SELECT %(table)s, %(reason)s, convert_to(row_to_json(refused)::TEXT, 'UTF8') FROM refused
        RETURNING quarantine_id, convert_from(payload, 'UTF8')::JSON AS content
    )
    INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
    SELECT quarantine_id, %(gatherer)s, %(table)s, coalesce(content ->> 'ticker', ''), lower(happened), upper(happened)
    FROM kept, happened_between(
        %(gatherer)s, (content ->> %(time)s)::TIMESTAMPTZ, (content ->> 'received_at')::TIMESTAMPTZ
    ) AS happened
""")
NOTE_UNREADABLE = """
    INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
    SELECT
        currval(pg_get_serial_sequence('quarantine', 'quarantine_id')), %(gatherer)s, %(table)s, '',
        lower(happened), upper(happened)
    FROM happened_between(
        %(gatherer)s, NULL, TIMESTAMPTZ 'epoch' + %(received_us)s * INTERVAL '1 microsecond'
    ) AS happened
"""


def load(cursor: psycopg2.extensions.cursor, table: Table, content: bytes) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, ("source_ingest_id", *table.column_names)))
    cursor.copy_expert(sql.SQL(LOAD).format(columns), io.BytesIO(content), READ_SIZE)


def quarantine_invalid_rows(cursor: psycopg2.extensions.cursor, table: Table, gatherer: str) -> int:
    """Move invalid rows from staging to quarantine. Return how many. Rows of other gatherers have been checked
    already."""
    cursor.execute(CHECKS, (table.name,))
    checks = [(name, sql.SQL("({}) IS FALSE").format(sql.SQL(expression))) for name, expression in cursor.fetchall()]
    nulls = [
        (f"{column.name} is missing", sql.SQL("{} IS NULL").format(sql.Identifier(column.name)))
        for column in table.columns
        if not column.nullable
    ]
    refused = 0
    for reason, is_refused in (*nulls, *checks):
        about = {"gatherer": gatherer, "table": table.name, "time": table.time_column, "reason": reason}
        cursor.execute(SIFT.format(is_refused=is_refused), about)
        refused += cursor.rowcount
    return refused


def stage_valid_rows(
    cursor: psycopg2.extensions.cursor, table: Table, content: bytes, unfit: tuple[type[Exception], ...], gatherer: str
) -> int:
    """Load rows although some of them cannot be read as their columns' types. Return how many went to quarantine."""
    refused: list[str] = []

    def stage(rows: Sequence[bytes]) -> int:
        cursor.execute("SAVEPOINT staging_part")
        try:
            load(cursor, table, content_of(rows))
        except unfit:
            cursor.execute("ROLLBACK TO SAVEPOINT staging_part")
            raise
        cursor.execute("RELEASE SAVEPOINT staging_part")
        return len(rows)

    def reject(row: bytes, error: Exception) -> None:
        refused.append(str(error).strip())
        reason = f"{refused[-1]} (of {gatherer}, as COPY's binary form)"
        quarantine(cursor, [RefusedRow(now_us(), table.name, reason, row)])
        about = {"gatherer": gatherer, "table": table.name, "received_us": received_us_of(row)}
        cursor.execute(NOTE_UNREADABLE, about)

    store_what_fits(list(split_rows(content)), stage, reject, unfit)
    return len(refused)


SESSION = "SET temp_buffers = '64MB'; SET work_mem = '64MB'; SET jit = off"
COUNT = """
    INSERT INTO merge_statistics AS total (table_name, shard, rounds, rows_read, rows_new, rows_quarantined)
    VALUES (%s, %s, 1, %s, %s, %s)
    ON CONFLICT (table_name, shard) DO UPDATE SET
        rounds = total.rounds + 1, rows_read = total.rows_read + excluded.rows_read,
        rows_new = total.rows_new + excluded.rows_new,
        rows_quarantined = total.rows_quarantined + excluded.rows_quarantined, updated_at = now()
"""


class Merged(NamedTuple):
    read: int
    new: int
    quarantined: int


class Merger:
    """The merge of what was pulled from all gatherers into one of production's tables, with one transaction a round.

    The transaction holds the rows, the cursors and the statistics. After any failure, open() returns the positions of
    the last commit.
    """

    def __init__(self, rule: Rule, shard: Shard, gatherers: Iterable[str], production: Dsn) -> None:
        self.rule = rule
        self.shard = shard
        self._production = production
        self._cursors = Cursors(rule.table.name, shard, gatherers)
        self._claim = Claim(rule.table.name, shard, self._cursors)
        self._positions: dict[str, Position] = {}
        self._statements = MergeStatements(rule)
        self._kept = KeptConnection(self._connect, f"Merging {rule.table.name} failed.")

    def open(self) -> dict[str, Position] | None:
        """Return where to read on, by gatherer. Return None if this shard cannot be merged by this process now."""
        with self._kept.opened() as connection, connection, connection.cursor() as cursor:
            if not self._claim.take(cursor):
                return None
            self._positions = self._cursors.read(cursor)
        return dict(self._positions)

    def merge(self, pulls: Mapping[str, Pull]) -> Merged:
        """Merge the pulls. Return after the commit."""
        with self._kept.still_open() as connection:
            merged = self._merge(connection, pulls)
        self._positions |= {gatherer: pull.through for gatherer, pull in pulls.items()}
        return merged

    def refuse_moved_cursors(self) -> None:
        """Raise CursorMovedError if another process has moved a cursor since the last round.

        merge() finds out too, but only once there are rows, and a table may have no more for days.
        """
        with self._kept.still_open() as connection, connection, connection.cursor() as cursor:
            if self._cursors.read(cursor) != self._positions:
                raise CursorMovedError(f"A cursor of {self.rule.table.name} was moved meanwhile.")

    def note_failures(self, failures: Mapping[str, str | None]) -> None:
        """Record why gatherers cannot be read, by gatherer. None means that it can be read again."""
        with self._kept.still_open() as connection, connection, connection.cursor() as cursor:
            for gatherer, failure in failures.items():
                self._cursors.note_failure(cursor, gatherer, failure)

    @property
    def obstacle(self) -> str | None:
        """Return why open() returned None, or None if only because another process merges the shard."""
        return self._claim.obstacle

    def close(self) -> None:
        """Close the connection, which also gives up the claim."""
        self._kept.close()

    def _connect(self) -> Connection:
        connection = connect(self._production, f"merger {self.rule.table.name}")
        with connection, connection.cursor() as cursor:
            cursor.execute(SESSION)
            cursor.execute(FREED_IN_TIME)
            cursor.execute(self._statements.create_staging)
        return connection

    def _merge(self, connection: Connection, pulls: Mapping[str, Pull]) -> Merged:
        try:
            return self._attempt(connection, pulls, is_sifting=False)
        except REFUSED_BY_THE_DATABASE:
            # A row has no chunk, or is invalid, or both.
            connection.rollback()
        self._make_room(connection, pulls)
        return self._attempt(connection, pulls, is_sifting=True)

    def _attempt(self, connection: Connection, pulls: Mapping[str, Pull], *, is_sifting: bool) -> Merged:
        with connection, connection.cursor() as cursor:
            refused = self._stage(cursor, pulls, is_sifting=is_sifting)
            cursor.execute(self._statements.lock_table)
            new = apply_rule(cursor, self.rule, self._statements, is_sifted=is_sifting)
            for gatherer, pull in pulls.items():
                self._cursors.advance(cursor, gatherer, pull)
            merged = Merged(sum(pull.rows for pull in pulls.values()), new, refused)
            cursor.execute(COUNT, (self.rule.table.name, self.shard.number, *merged))
        return merged

    def _stage(self, cursor: psycopg2.extensions.cursor, pulls: Mapping[str, Pull], *, is_sifting: bool) -> int:
        refused = 0
        for gatherer, pull in pulls.items():
            if not pull.rows:
                continue
            if is_sifting:
                refused += stage_valid_rows(cursor, self.rule.table, pull.content, REFUSED_BY_THE_DATABASE, gatherer)
                refused += quarantine_invalid_rows(cursor, self.rule.table, gatherer)
            else:
                load(cursor, self.rule.table, pull.content)
                if self.rule.are_announcements:
                    # announcements.py reads the rows in Python, which cannot represent every time that PostgreSQL
                    # accepts.
                    refused += quarantine_invalid_rows(cursor, self.rule.table, gatherer)
            if self.rule.are_announcements:
                cursor.execute(self._statements.name_gatherer, (gatherer,))
        return refused

    def _make_room(self, connection: Connection, pulls: Mapping[str, Pull]) -> None:
        """Create the chunks that the rows need. Each has its own transaction, since it locks its table until the
        end."""
        with connection, connection.cursor() as cursor:
            self._stage(cursor, pulls, is_sifting=True)
            cursor.execute(self._statements.days)
            days = [day for (day,) in cursor.fetchall()]
            connection.rollback()
        for day in days:
            with connection, connection.cursor() as cursor:
                cursor.execute(self._statements.ensure_chunk, (day,))
