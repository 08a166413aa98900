from app.postgres.claim import FREED_IN_TIME
from app.postgres.connection import Connection, connect, value_of
from app.postgres.dsn import Dsn
from app.postgres.kept_connection import KeptConnection

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
