"""Reading a table on from the last row read, while others write to it.

Ids commit in order, because every writing transaction of a table first takes the table's lock. Yet a reader could pass
rows over: what chunks a table has, a session learns a moment after a commit makes the rows in them visible (or, at
READ COMMITTED, before the statement's own snapshot), so of a batch that made a chunk it would see what is in old ones.
Who takes the lock after its snapshot knows the chunks of every commit in it: such commits let go of the lock last.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.extensions

from app.postgres.connection import Connection, connect, connected
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
