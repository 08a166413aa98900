from app.postgres.connection import Connection, value_of

LAST_RECORDED = """
SELECT (extract(epoch FROM max(recorded_until)) * 1000000)::BIGINT FROM runs WHERE run_id < %s
"""


def last_recorded_us(connection: Connection, run_id: int) -> int | None:
    """Up to when the runs before this one recorded; None if it is the first."""
    recorded_us: int | None = value_of(connection, LAST_RECORDED, (run_id,))
    return recorded_us
