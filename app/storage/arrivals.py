"""Read a table from the last row read onward, while others write to it.

Ids commit in order, because every writing transaction of a table first takes the table's lock. A reader could still
skip rows: a session learns of new chunks a moment after a commit makes their rows visible (or, at READ COMMITTED,
before the statement's own snapshot), so of a batch that created a chunk it would see only the rows in older chunks. A
session that takes the lock after its snapshot knows the chunks of every commit in the snapshot, because a commit
releases the lock as its last step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg2.extensions

from app.postgres.connection import Connection, connect, connected, value_of
from app.postgres.dsn import Dsn

TABLE_LOCK = "hashtextextended('writing ' || %s, 0)"
TOUCH_LOCK = f"SELECT pg_advisory_lock_shared({TABLE_LOCK}), pg_advisory_unlock_shared({TABLE_LOCK})"


def connect_for_arrivals(dsn: Dsn, application: str) -> Connection:
    """Open a connection for arrivals() that the caller keeps."""
    connection = connect(dsn, application)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


@contextmanager
def arrivals_session(dsn: Dsn, application: str) -> Iterator[Connection]:
    """Open a connection for arrivals(), and close it at the end."""
    with connected(dsn, application) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection


@contextmanager
def arrivals(session: Connection, table_name: str) -> Iterator[psycopg2.extensions.cursor]:
    """Open a transaction in which `ingest_id > last` finds every row that has been committed since."""
    with session, session.cursor() as cursor:
        # At REPEATABLE READ the first statement takes the snapshot, and takes it before it waits for the lock.
        cursor.execute(TOUCH_LOCK, (table_name, table_name))
        yield cursor


# Reading in the order of arrival, without the rows that TimescaleDB has compressed.
#
# Compressed rows have no index by `ingest_id`: a query for new rows would open every compressed batch that may hold
# one, over the whole history. A reader that is past all compressed rows (`chunked_tables.compressed_through`) therefore
# leaves them out, and its query costs the same whether chunks are compressed or not.
#
# Rows that are compressed between a reader's snapshot and its read may be missing from the result: the ones it left out
# and, if a chunk is compressed again, others too. So a result counts only if no chunk of the table was compressed
# meanwhile (`chunked_tables.compressions`); otherwise the reader repeats the read.

# A gatherer may still have an earlier schema, whose maintainer does not note compressions: nothing is left out there.
NOTED = """
    SELECT array_agg(table_name) FROM chunked_tables AS t
    WHERE strategy = 'hypertable' AND to_jsonb(t) ? 'compressions'
        AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.enable_columnarscan')
"""
# With the columnar scan off, queries of this transaction find only uncompressed rows.
LEAVE_OUT_COMPRESSED = """
    SELECT compressed_through < %(first)s, compressions,
        set_config(
            'timescaledb.enable_columnarscan', CASE WHEN compressed_through < %(first)s THEN 'off' ELSE 'on' END, TRUE
        )
    FROM chunked_tables WHERE table_name = %(table)s
"""
SHOW_COMPRESSED = "SET LOCAL timescaledb.enable_columnarscan = on"
COMPRESSIONS = "SELECT compressions FROM chunked_tables WHERE table_name = %s"
REACH = "SELECT FALSE, compressions, '' FROM chunked_tables WHERE table_name = %s"


class Reach(NamedTuple):
    """The part of a table that a transaction sees, from the first wanted row onward."""

    table_name: str
    is_past_compressed: bool  # compressed rows are left out
    compressions: int


def tables_with_noted_compression(session: Connection) -> frozenset[str]:
    """Return the tables whose rows may be compressed and for which the database notes how far."""
    with session:
        return frozenset(value_of(session, NOTED) or ())


def leave_out_compressed(cursor: psycopg2.extensions.cursor, table_name: str, first_ingest_id: int) -> Reach:
    """Hide compressed rows from this transaction's queries, if all of them come before the first wanted row."""
    cursor.execute(LEAVE_OUT_COMPRESSED, {"first": first_ingest_id, "table": table_name})
    return _reach(cursor, table_name)


def reach_of(cursor: psycopg2.extensions.cursor, table_name: str) -> Reach:
    """Return the reach of a transaction that leaves nothing out, for is_disturbed()."""
    cursor.execute(REACH, (table_name,))
    return _reach(cursor, table_name)


def show_compressed(cursor: psycopg2.extensions.cursor) -> None:
    """Show this transaction's queries the rows that leave_out_compressed() hid."""
    cursor.execute(SHOW_COMPRESSED)


@contextmanager
def arrivals_from(
    session: Connection, table_name: str, first_ingest_id: int, noted: frozenset[str]
) -> Iterator[tuple[psycopg2.extensions.cursor, Reach | None]]:
    """Open a transaction in which `ingest_id >= first_ingest_id` finds every row that has been committed since.

    The reach is None if the table's rows are never compressed.
    """
    if table_name not in noted:
        with arrivals(session, table_name) as cursor:
            yield cursor, None
        return
    with session, session.cursor() as cursor:
        # Sent as one message, since this runs many times a second. The first statement takes the snapshot for both.
        touch = cursor.mogrify(TOUCH_LOCK, (table_name, table_name))
        leave_out = cursor.mogrify(LEAVE_OUT_COMPRESSED, {"first": first_ingest_id, "table": table_name})
        cursor.execute(touch + b";" + leave_out)
        yield cursor, _reach(cursor, table_name)


def is_disturbed(session: Connection, reach: Reach | None) -> bool:
    """Return True if a chunk was compressed since, which may have hidden some of the rows that were read."""
    if reach is None:
        return False
    with session:
        return bool(value_of(session, COMPRESSIONS, (reach.table_name,)) != reach.compressions)


def _reach(cursor: psycopg2.extensions.cursor, table_name: str) -> Reach:
    is_past, compressions, _ = cursor.fetchone() or (False, 0, "")
    return Reach(table_name, is_past, compressions)
