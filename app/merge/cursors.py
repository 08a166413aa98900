"""Read and write `sync_cursors`: how far production has read each gatherer's tables.

A cursor changes only in the transaction that writes the rows, so a crash repeats rows and never skips any.
"""

from collections.abc import Iterable

import psycopg2.extensions

from app.errors import DatabaseError
from app.merge.position import BEGINNING, Position, Pull, Shard
from app.postgres.connection import Connection
from app.replicate.database_state import distrust_at_first
from app.runtime import logs

log = logs.get(__name__)

LEAST = """
    SELECT DISTINCT ON (gatherer) gatherer, system_identifier, ingest_id, probe FROM sync_cursors
    WHERE table_name = %s AND gatherer = ANY (%s) ORDER BY gatherer, ingest_id
"""
LEAST_OF_A_GATHERER = """
    SELECT DISTINCT ON (table_name) table_name, system_identifier, ingest_id, probe FROM sync_cursors
    WHERE gatherer = %s ORDER BY table_name, ingest_id
"""
# Cursors of gatherers that are no longer read stay, with 0 shards: they belong to no division.
IS_DIVIDED = """
    SELECT
        array_agg(DISTINCT gatherer COLLATE "C" ORDER BY gatherer COLLATE "C") = %(names)s
        AND count(*) = cardinality(%(names)s) * %(of)s AND bool_and(shards = %(of)s)
    FROM sync_cursors WHERE table_name = %(table)s AND shards > 0
"""
FORGET = "DELETE FROM sync_cursors WHERE table_name = %s AND gatherer = ANY (%s)"
RETIRE_OTHERS = "UPDATE sync_cursors SET shards = 0 WHERE table_name = %s AND gatherer <> ALL (%s)"
BEGIN = """
    INSERT INTO sync_cursors (gatherer, table_name, shard, shards, system_identifier, ingest_id, probe, state_number)
    SELECT
        %(gatherer)s, %(table)s, shard, %(of)s, %(system_identifier)s, %(ingest_id)s, %(probe)s,
        state_number_of(%(gatherer)s)
    FROM generate_series(0, %(of)s - 1) AS shard
"""
READ = """
    SELECT gatherer, system_identifier, ingest_id, probe FROM sync_cursors
    WHERE table_name = %s AND gatherer = ANY (%s) AND shard = %s AND shards = %s
"""
READ_STATE_NUMBER = """
    SELECT state_number FROM sync_cursors WHERE gatherer = %(gatherer)s AND table_name = %(table)s AND shard = %(shard)s
"""
ADVANCE = """
    UPDATE sync_cursors SET
        system_identifier = %(system_identifier)s, ingest_id = %(ingest_id)s, probe = %(probe)s,
        state_number = state_number_of(%(gatherer)s),
        received_through = TIMESTAMPTZ 'epoch' + %(received_us)s * INTERVAL '1 microsecond',
        rows_read = rows_read + %(rows)s, updated_at = now()
    WHERE gatherer = %(gatherer)s AND table_name = %(table)s AND shard = %(shard)s AND shards = %(of)s
        AND ingest_id = %(after)s AND probe IS NOT DISTINCT FROM %(after_probe)s
"""
BEGIN_ANEW = """
    UPDATE sync_cursors SET
        system_identifier = %(system_identifier)s, ingest_id = 0, probe = NULL, restarts = restarts + 1,
        state_number = state_number_of(%(gatherer)s), updated_at = now()
    WHERE gatherer = %(gatherer)s AND table_name = %(table)s
"""
# A loss begins at the last delivery that production knows of; it knows none if it was recreated, or if the gatherer has
# a new name. It ends a minute after the last event's time that was dropped, because rows are received a little later.
LOSE = """
    INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at)
    SELECT %(gatherer)s, %(table)s, delivered.until, %(lost_before)s + INTERVAL '1 minute'
    FROM (
        SELECT coalesce(max(delivered_until), 'epoch') AS until FROM gatherer_runs WHERE gatherer = %(gatherer)s
    ) AS delivered
    WHERE delivered.until < %(lost_before)s
    ON CONFLICT DO NOTHING
    RETURNING started_at, ended_at
"""
NOTE = """
    UPDATE sync_cursors SET
        failure = %s, failing_since = CASE WHEN %s IS NOT NULL THEN coalesce(failing_since, now()) END
    WHERE gatherer = %s AND table_name = %s AND shard = %s AND shards = %s
"""


class CursorMovedError(DatabaseError):
    """Another process has advanced or restarted this cursor since it was read. That process's changes are kept."""


class Cursors:
    """The cursors of all gatherers for one table and shard."""

    def __init__(self, table_name: str, shard: Shard, gatherers: Iterable[str]) -> None:
        self._table = table_name
        self._shard = shard
        self._gatherers = sorted(gatherers)

    def are_divided(self, cursor: psycopg2.extensions.cursor) -> bool:
        """Return whether the table has exactly the cursors of these gatherers, divided into this number of shards."""
        cursor.execute(IS_DIVIDED, {"of": self._shard.of, "table": self._table, "names": self._gatherers})
        (are_divided,) = cursor.fetchone() or (False,)
        return bool(are_divided)

    def divide(self, cursor: psycopg2.extensions.cursor) -> None:
        """Create the cursors of a new division. Each begins at the least of the old ones, so that no ticker's rows are
        skipped."""
        cursor.execute(LEAST, (self._table, self._gatherers))
        least = {gatherer: Position(*position) for gatherer, *position in cursor.fetchall()}
        cursor.execute(FORGET, (self._table, self._gatherers))
        cursor.execute(RETIRE_OTHERS, (self._table, self._gatherers))
        for gatherer in self._gatherers:
            position = least.get(gatherer, BEGINNING)
            where = {"gatherer": gatherer, "table": self._table, "of": self._shard.of}
            cursor.execute(BEGIN, where | position._asdict())

    def read(self, cursor: psycopg2.extensions.cursor) -> dict[str, Position]:
        cursor.execute(READ, (self._table, self._gatherers, *self._shard))
        return {gatherer: Position(*position) for gatherer, *position in cursor.fetchall()}

    def advance(self, cursor: psycopg2.extensions.cursor, gatherer: str, pull: Pull) -> None:
        where = {"gatherer": gatherer, "table": self._table, "shard": self._shard.number, "of": self._shard.of}
        read = {"received_us": pull.received_us, "rows": pull.rows, **pull.through._asdict()}
        after = {"after": pull.after.ingest_id, "after_probe": pull.after.probe}
        was_read_in = self._state_number(cursor, where) if pull.starts_anew else 0
        cursor.execute(ADVANCE, where | read | after)
        if cursor.rowcount != 1:
            raise CursorMovedError(f"The cursor of {self._table} of {gatherer} was moved meanwhile.")
        if pull.starts_anew:
            distrust_at_first(cursor, gatherer, was_read_in)
            # For all shards: the least of a table's cursors is valid only if all belong to one and the same database.
            cursor.execute(BEGIN_ANEW, where | read)
        if pull.lost_before:
            self._note_loss(cursor, where | {"lost_before": pull.lost_before})

    def note_failure(self, cursor: psycopg2.extensions.cursor, gatherer: str, failure: str | None) -> None:
        cursor.execute(NOTE, (failure, failure, gatherer, self._table, *self._shard))

    def _state_number(self, cursor: psycopg2.extensions.cursor, of: dict[str, object]) -> int:
        cursor.execute(READ_STATE_NUMBER, of)
        (number,) = cursor.fetchone() or (0,)
        return int(number)

    def _note_loss(self, cursor: psycopg2.extensions.cursor, of: dict[str, object]) -> None:
        """Record as lost what the gatherer has dropped and production does not know to be delivered."""
        cursor.execute(LOSE, of)
        for started_at, ended_at in cursor.fetchall():
            log.error(
                "rows missing in production were already dropped by the gatherer",
                gatherer=of["gatherer"],
                table=self._table,
                received_after=started_at.isoformat(),
                received_before=ended_at.isoformat(),
            )


def merged_through(production: Connection, gatherer: str) -> dict[str, Position]:
    """Return, by table, the position that every shard of the gatherer's table has reached."""
    with production, production.cursor() as cursor:
        cursor.execute(LEAST_OF_A_GATHERER, (gatherer,))
        return {table: Position(*position) for table, *position in cursor.fetchall()}
