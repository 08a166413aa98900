from app.postgres.connection import Connection, value_of


def is_claimed(connection: Connection, work: str) -> bool:
    """Whether this connection is the only one at it, from now on until it is closed: with several processes each piece
    of work is done by one, and by another when that one is gone."""
    with connection:
        return bool(value_of(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (work,)))
