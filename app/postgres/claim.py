from collections.abc import Iterator
from contextlib import contextmanager

from app.postgres.connection import Connection, value_of

# The server's side of a connection: what a dead host held is free within half a minute. Without these it keeps the
# locks of a silent peer for two hours, and for a quarter of one those of a peer that does not confirm what it was sent.
FREED_IN_TIME = """
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2;
    SET tcp_user_timeout = 20000
"""


@contextmanager
def claimed(connection: Connection, work: str) -> Iterator[bool]:
    """Whether this connection is the only one at it, while the block runs: with several processes each piece of work is
    done by one, and by another when that one is gone.

    After an error the claim is the connection's until it is closed.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(FREED_IN_TIME)
        is_ours = bool(value_of(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (work,)))
    yield is_ours
    if is_ours:
        with connection:
            value_of(connection, "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (work,))
