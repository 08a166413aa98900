"""Reading a table on from the last row read, while others write to it.

Ids commit in order, because every writing transaction of a table first takes the table's lock. Yet a reader could pass
rows over: what chunks a table has, a session learns a moment after a commit makes the rows in them visible (or, at
READ COMMITTED, before the statement's own snapshot), so of a batch that made a chunk it would see what is in old ones.
Who takes the lock after its snapshot knows the chunks of every commit in it: such commits let go of the lock last.
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
    """A connection for arrivals() that is kept."""
    connection = connect(dsn, application)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


@contextmanager
def arrivals_session(dsn: Dsn, application: str) -> Iterator[Connection]:
    """A connection for arrivals()."""
    with connected(dsn, application) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection


@contextmanager
def arrivals(session: Connection, table_name: str) -> Iterator[psycopg2.extensions.cursor]:
    """A transaction in which `ingest_id > last` finds every row that has been committed since."""
    with session, session.cursor() as cursor:
        # At REPEATABLE READ the first statement takes the snapshot, and takes it before it waits for the lock.
        cursor.execute(TOUCH_LOCK, (table_name, table_name))
        yield cursor


# Reading a table on in the order of arrival, past what TimescaleDB has compressed of it.
#
# Compressed rows have no index by `ingest_id`: a look for new ones would open every batch that may hold one, of all
# the history there is. So who has read beyond all compressed rows (`chunked_tables.compressed_through`) leaves them
# out, and its look costs the same whether chunks are compressed or not.
#
# Rows that are compressed between a reader's snapshot and its read may be missing from what it reads: those that it
# left out, and, where a chunk is compressed anew, others too. So what was read counts only if no chunk of the table
# was compressed meanwhile (`chunked_tables.compressions`); else it is read again.

# A gatherer's schema may be an earlier one, whose maintainer notes nothing: there nothing is left out.
NOTED = """
    SELECT array_agg(table_name) FROM chunked_tables AS t
    WHERE strategy = 'hypertable' AND to_jsonb(t) ? 'compressions'
        AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.enable_columnarscan')
"""
# Without the scan of compressed rows, queries find only the others, until the transaction ends.
LEAVE_OUT_COMPRESSED = """
    SELECT compressed_through < %(first)s, compressions,
        set_config(
            'timescaledb.enable_columnarscan', CASE WHEN compressed_through < %(first)s THEN 'off' ELSE 'on' END, TRUE
        )
    FROM chunked_tables WHERE table_name = %(table)s
"""
COMPRESSIONS = "SELECT compressions FROM chunked_tables WHERE table_name = %s"


class Reach(NamedTuple):
    """What a transaction sees of a table from the first wanted row on."""

    table_name: str
    is_past_compressed: bool  # compressed rows are left out
    compressions: int


def tables_with_noted_compression(session: Connection) -> frozenset[str]:
    """Return the tables whose rows may be compressed, and of which the database says up to where."""
    with session:
        return frozenset(value_of(session, NOTED) or ())


def leave_out_compressed(cursor: psycopg2.extensions.cursor, table_name: str, first_ingest_id: int) -> Reach:
    """Have this transaction's queries see no compressed rows, if all of these come before the first wanted one."""
    cursor.execute(LEAVE_OUT_COMPRESSED, {"first": first_ingest_id, "table": table_name})
    return _reach(cursor, table_name)


@contextmanager
def arrivals_from(
    session: Connection, table_name: str, first_ingest_id: int, noted: frozenset[str]
) -> Iterator[tuple[psycopg2.extensions.cursor, Reach | None]]:
    """Open a transaction in which `ingest_id >= first_ingest_id` finds every row that has been committed since.

    The reach is None where rows are never compressed.
    """
    if table_name not in noted:
        with arrivals(session, table_name) as cursor:
            yield cursor, None
        return
    with session, session.cursor() as cursor:
        # In one message, since this is done many times a second. The first statement takes the snapshot of both.
        touch = cursor.mogrify(TOUCH_LOCK, (table_name, table_name))
        leave_out = cursor.mogrify(LEAVE_OUT_COMPRESSED, {"first": first_ingest_id, "table": table_name})
        cursor.execute(touch + b";" + leave_out)
        yield cursor, _reach(cursor, table_name)


def is_disturbed(session: Connection, reach: Reach | None) -> bool:
    """Return whether a chunk was compressed since, which may have hidden some of the rows that were read."""
    if reach is None:
        return False
    with session:
        return bool(value_of(session, COMPRESSIONS, (reach.table_name,)) != reach.compressions)


def _reach(cursor: psycopg2.extensions.cursor, table_name: str) -> Reach:
    is_past, compressions, _ = cursor.fetchone() or (False, 0, "")
    return Reach(table_name, is_past, compressions)
