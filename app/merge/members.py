import psycopg2

from app.errors import DatabaseError
from app.postgres.connection import Connection, connect, value_of
from app.postgres.dsn import Dsn

# Two numbers of our own, for a lock that every process shares.
KEY = (1_263_553_641, 1)
JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
COUNT = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Members:
    """How many processes there are, told by a lock that each holds while it lives."""

    def __init__(self, production: Dsn) -> None:
        self._production = production
        self._connection: Connection | None = None

    def count(self) -> int:
        try:
            return self._count()
        except psycopg2.Error as error:
            self.close()
            raise DatabaseError("Counting the deduplicators failed.", str(error).strip()) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _count(self) -> int:
        if self._connection is None:
            self._connection = connect(self._production, "deduplicator")
            self._connection.autocommit = True
            value_of(self._connection, JOIN, KEY)
        return int(value_of(self._connection, COUNT, KEY))
