"""How far a table of a gatherer was read, kept where its rows go: both are committed together."""

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection, value_of

SAVE = """
    INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id) VALUES (%s, %s, %s, %s)
    ON CONFLICT (gatherer, table_name, shard) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id, updated_at = now()
"""
READ = """
    SELECT coalesce(max(ingest_id), 0) FROM sync_cursors
    WHERE gatherer = %s AND table_name = %s AND system_identifier = %s
"""


def system_identifier(cursor: psycopg2.extensions.cursor) -> int:
    """Of the server: another one is another source, whatever its database is called."""
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    (identifier,) = cursor.fetchone() or (0,)
    return int(identifier)


def read_through(production: Connection, gatherer: str, table_name: str, identifier: int) -> int:
    """The last ingest_id read from this source; 0: nothing yet."""
    return int(value_of(production, READ, (gatherer, table_name, identifier)))


def save_cursor(
    cursor: psycopg2.extensions.cursor, gatherer: str, table_name: str, identifier: int, ingest_id: int
) -> None:
    cursor.execute(SAVE, (gatherer, table_name, identifier, ingest_id))


def last_ingest_id(cursor: psycopg2.extensions.cursor, table_name: str) -> int:
    cursor.execute(sql.SQL("SELECT coalesce(max(ingest_id), 0) FROM {}").format(sql.Identifier(table_name)))
    (last,) = cursor.fetchone() or (0,)
    return int(last)
