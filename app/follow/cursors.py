"""How far a table of a gatherer was read, kept where its rows go: both are committed together."""

from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection

SAVE = """
    INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id, probe) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (gatherer, table_name, shard) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id, probe = excluded.probe,
        updated_at = now()
"""
READ = "SELECT ingest_id, probe FROM sync_cursors WHERE gatherer = %s AND table_name = %s AND system_identifier = %s"


class Through(NamedTuple):
    """How far a table was read."""

    ingest_id: int
    probe: int | None  # None: not known


NOTHING = Through(0, None)


def system_identifier(cursor: psycopg2.extensions.cursor) -> int:
    """Of the server: another one is another source, whatever its database is called."""
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    (identifier,) = cursor.fetchone() or (0,)
    return int(identifier)


def read_through(production: Connection, gatherer: str, table_name: str, identifier: int) -> Through | None:
    """Of this source. None: it was never looked into."""
    with production.cursor() as cursor:
        cursor.execute(READ, (gatherer, table_name, identifier))
        row = cursor.fetchone()
    return Through(*row) if row else None


def save_cursor(
    cursor: psycopg2.extensions.cursor, gatherer: str, table_name: str, identifier: int, through: Through
) -> None:
    cursor.execute(SAVE, (gatherer, table_name, identifier, *through))


def is_older_state(cursor: psycopg2.extensions.cursor, is_older: sql.Composed, through: Through) -> bool:
    """Whether the source is not yet, or no more, what it was when it was read."""
    cursor.execute(is_older, through._asdict())
    return cursor.fetchone() == (True,)
