"""Decide by PostgreSQL's advisory locks which process merges which table and shard: a process that died holds none.

A lock belongs to the connection that also writes, so a process that lost the lock cannot write either. (There must be
no pooler in between that gives every transaction another connection.)
"""

import psycopg2.extensions

from app.merge.cursors import Cursors
from app.merge.position import Shard
from app.postgres.connection import FREED_IN_TIME, Connection, KeptConnection, connect, value_of
from app.postgres.dsn import Dsn

TRY_LANE = "SELECT pg_try_advisory_lock(hashtextextended('merging ' || %s, 0))"
LEAVE_LANE = "SELECT pg_advisory_unlock(hashtextextended('merging ' || %s, 0))"
TRY_SHARED_DIVISION = "SELECT pg_try_advisory_lock_shared(hashtextextended('shards of ' || %s, 0))"
LEAVE_SHARED_DIVISION = "SELECT pg_advisory_unlock_shared(hashtextextended('shards of ' || %s, 0))"
TRY_WHOLE_DIVISION = "SELECT pg_try_advisory_xact_lock(hashtextextended('shards of ' || %s, 0))"


class Claim:
    """The claim of one process on a table's shard, held by a connection."""

    def __init__(self, table_name: str, shard: Shard, cursors: Cursors) -> None:
        self._table = table_name
        self._lane = f"{table_name} {shard.number} of {shard.of}"
        self._cursors = cursors
        self.obstacle: str | None = None  # why the shard cannot be taken, unless another process has it

    def take(self, cursor: psycopg2.extensions.cursor) -> bool:
        """Take the shard. Return False if another process has it, or if there is an obstacle."""
        self.obstacle = None
        if not _is_true(cursor, TRY_LANE, self._lane):
            return False
        if self._join_division(cursor):
            return True
        cursor.execute(LEAVE_LANE, (self._lane,))
        return False

    def _join_division(self, cursor: psycopg2.extensions.cursor) -> bool:
        if not _is_true(cursor, TRY_SHARED_DIVISION, self._table):
            return False
        if self._cursors.are_divided(cursor):
            return True
        # A table is divided again only while no process merges it: all its cursors always belong to one division.
        cursor.execute(LEAVE_SHARED_DIVISION, (self._table,))
        if _is_true(cursor, TRY_WHOLE_DIVISION, self._table):
            self._cursors.divide(cursor)
            # Taken before this transaction's lock on the division ends, so that no other process can divide the table
            # first: two processes that are configured differently would take turns, and neither would merge.
            return _is_true(cursor, TRY_SHARED_DIVISION, self._table)
        self.obstacle = "other deduplicators use another KALSHI_DEDUP_SHARDS or other gatherers"
        return False


def _is_true(cursor: psycopg2.extensions.cursor, question: str, name: str) -> bool:
    cursor.execute(question, (name,))
    (answer,) = cursor.fetchone() or (False,)
    return bool(answer)


# Two arbitrary numbers, for a lock that every process shares.
KEY = (1_263_553_641, 1)
JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
COUNT = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Members:
    """The number of running processes, counted by a lock that each of them holds while it lives."""

    def __init__(self, production: Dsn) -> None:
        self._production = production
        self._kept = KeptConnection(self._connect, "Counting the deduplicators failed.")

    def count(self) -> int:
        with self._kept.opened() as connection:
            return int(value_of(connection, COUNT, KEY))

    def close(self) -> None:
        self._kept.close()

    def _connect(self) -> Connection:
        connection = connect(self._production, "deduplicator")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(FREED_IN_TIME)
        value_of(connection, JOIN, KEY)
        return connection
