"""How far a table of a gatherer was read, kept where its rows go: both are committed together."""

from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection
from app.store.tables import Table

SAVE = """
    INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id, probe) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (gatherer, table_name, shard) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id, probe = excluded.probe,
        updated_at = now()
"""
READ = "SELECT ingest_id, probe FROM sync_cursors WHERE gatherer = %s AND table_name = %s AND system_identifier = %s"
IS_OLDER = sql.SQL("""
    SELECT %(ingest_id)s > (SELECT coalesce(max(ingest_id), 0) FROM {table}) OR EXISTS (
        SELECT FROM {table} WHERE ingest_id <= %(ingest_id)s
            AND {time} > TIMESTAMPTZ 'epoch' + %(newest_us)s * INTERVAL '1 microsecond'
    )
""")


class Through(NamedTuple):
    """How far a table was read. The row read last may have got another id since, so it proves nothing; but no row up
    to there is newer than those that were read, unless an older state of the database gave ids to other rows."""

    ingest_id: int
    newest_us: int | None  # None: not known

    def and_then(self, ingest_id: int, newest_us: int | None) -> "Through":
        """Further rows were read."""
        known_us = [time_us for time_us in (self.newest_us, newest_us) if time_us is not None]
        return Through(max(self.ingest_id, ingest_id), max(known_us, default=None))


NOTHING = Through(0, None)


def system_identifier(cursor: psycopg2.extensions.cursor) -> int:
    """Of the server: another one is another source, whatever its database is called."""
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    (identifier,) = cursor.fetchone() or (0,)
    return int(identifier)


def read_through(production: Connection, gatherer: str, table_name: str, identifier: int) -> Through:
    """Of this source; another one is read from its beginning."""
    with production.cursor() as cursor:
        cursor.execute(READ, (gatherer, table_name, identifier))
        row = cursor.fetchone()
    return Through(*row) if row else NOTHING


def save_cursor(
    cursor: psycopg2.extensions.cursor, gatherer: str, table_name: str, identifier: int, through: Through
) -> None:
    cursor.execute(SAVE, (gatherer, table_name, identifier, *through))


def is_older_state(cursor: psycopg2.extensions.cursor, table: Table, through: Through) -> bool:
    """Whether the source is not yet, or no more, what it was when it was read."""
    names = {"table": sql.Identifier(table.name), "time": sql.Identifier(table.time_column)}
    cursor.execute(IS_OLDER.format(**names), through._asdict())
    return cursor.fetchone() == (True,)


def last_ingest_id(cursor: psycopg2.extensions.cursor, table_name: str) -> int:
    cursor.execute(sql.SQL("SELECT coalesce(max(ingest_id), 0) FROM {}").format(sql.Identifier(table_name)))
    (last,) = cursor.fetchone() or (0,)
    return int(last)
