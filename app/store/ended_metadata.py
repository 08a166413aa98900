"""Markets and events that are over leave a gatherer's database at an age: production has them for ever.

A row that went and that the exchange shows once more comes back, and goes again at that age.
"""

from datetime import datetime, timedelta

from app.postgres.connection import Connection
from app.store.arrivals import TABLE_LOCK
from app.store.confirmation import CONFIRMED_BY_ALL
from app.store.metadata_tables import EVENTS, MARKETS

MOST_AT_ONCE = 5_000

# In a statement of its own, before the one that chooses: else a row could be written anew after it was chosen.
LOCK = f"SELECT pg_advisory_xact_lock({TABLE_LOCK})"
# The last row of all stays: whoever reads on from there takes a table that ends before that for an older state of it.
DROP = """
    DELETE FROM {table} WHERE {key} IN (
        SELECT {key} FROM {table} AS t
        WHERE updated_at < %(before)s AND {is_over}
            AND ingest_id <= ({confirmed})
            AND ingest_id < (SELECT max(m.ingest_id) FROM {table} AS m)
        ORDER BY updated_at LIMIT %(most)s
    )
"""
DROPS = {
    # One that REST knew no more never became final.
    MARKETS.name: DROP.format(
        table="markets",
        key="ticker",
        confirmed=CONFIRMED_BY_ALL.format(table="'markets'"),
        is_over="(status = 'finalized' OR close_time < %(before)s)",
    ),
    EVENTS.name: DROP.format(
        table="events",
        key="event_ticker",
        confirmed=CONFIRMED_BY_ALL.format(table="'events'"),
        is_over="NOT EXISTS (SELECT FROM markets AS o WHERE o.event_ticker = t.event_ticker)",
    ),
}


def drop_ended(connection: Connection, keep_for: timedelta, now: datetime, most: int = MOST_AT_ONCE) -> dict[str, int]:
    """Drop what has been over for so long and that the deduplicator has confirmed, in transactions of so many rows.
    Return how many, by table."""
    return {table: _drop_all(connection, table, now - keep_for, most) for table in DROPS}


def _drop_all(connection: Connection, table: str, before: datetime, most: int) -> int:
    dropped = 0
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(LOCK, (table,))
            cursor.execute(DROPS[table], {"before": before, "most": most})
            dropped += cursor.rowcount
            if cursor.rowcount < most:
                return dropped
