from collections.abc import Iterator
from contextlib import contextmanager

from app.postgres.connection import Connection, value_of


@contextmanager
def claimed(connection: Connection, work: str) -> Iterator[bool]:
    """Whether this connection is the only one at it, while the block runs: with several processes each piece of work is
    done by one, and by another when that one is gone.

    After an error the claim is the connection's until it is closed.
    """
    with connection:
        is_ours = bool(value_of(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (work,)))
    yield is_ours
    if is_ours:
        with connection:
            value_of(connection, "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (work,))
