"""Delete what a gatherer keeps beside its records: journal rows that production has read, and old quarantine.

A journal row is deleted no sooner than the records of its time. A production database that never read the records
counts that time as lost (gatherer_losses), so it does not need the row; and the row is kept a while longer for a
production database that is restored from a backup.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from app.postgres.connection import Connection, value_of
from app.runtime import logs
from app.storage.arrivals import TABLE_LOCK
from app.storage.confirmation import CONFIRMED_BY_ALL
from app.storage.tables import EVENTS, MARKETS

log = logs.get(__name__)

TABLES = ("runs", "subscriptions", "gaps", "quarantine")
OUTLASTS_RECORDS = timedelta(days=8)
ROWS_AT_ONCE = 10_000
MOST_ROWS = 1_000_000  # in one round
QUARANTINE_SHARE = 20  # quarantine may take a twentieth of the disk budget

SIZE = "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM unnest(%s) AS name"
# The row that was read last is kept, since readers look at it again.
FORGET = """
    WITH gone (channel, until) AS (
        SELECT of.channel, max(c.dropped_through) - %(outlasts)s
        FROM chunked_tables AS c
        JOIN (
            VALUES ('orderbook_deltas', 'orderbook_delta'), ('orderbook_snapshots', 'orderbook_delta'),
            ('trades', 'trade'), ('tickers', 'ticker'), ('lifecycle_events', 'market_lifecycle_v2'),
            ('lifecycle_events', 'multivariate_market_lifecycle')
        ) AS of (table_name, channel) USING (table_name)
        GROUP BY of.channel
    ),
    lives (run_id, until) AS (
        SELECT run_id, CASE WHEN ended_at IS NOT NULL OR lead(run_id) OVER (ORDER BY run_id) > 0 THEN recorded_until END
        FROM runs
    )
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT j.ctid FROM {table} AS j JOIN gone USING (channel) LEFT JOIN lives USING (run_id)
        WHERE least(j.ended_at, lives.until) < gone.until
            AND j.ingest_id < ({confirmed})
        LIMIT %(rows)s
    ))
"""
FORGET_QUARANTINE = """
    DELETE FROM quarantine WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine
        WHERE quarantined_at < %(now)s - (SELECT max(keep_for) FROM chunked_tables) LIMIT %(rows)s
    )
"""
# The table's file does not shrink when rows are deleted, so the size of its contents is what counts.
QUARANTINED_BYTES = "SELECT coalesce(sum(octet_length(payload) + octet_length(reason)), 0) FROM quarantine"
FORGET_OLDEST_QUARANTINED = """
    DELETE FROM quarantine WHERE quarantine_id IN (
        SELECT quarantine_id FROM (
            SELECT quarantine_id, sum(octet_length(payload) + octet_length(reason)) OVER newest_first AS newer_bytes
            FROM quarantine
            WINDOW newest_first AS (ORDER BY quarantined_at DESC, quarantine_id DESC)
        ) AS counted
        WHERE newer_bytes > %(budget)s
    )
"""


class Forgotten(NamedTuple):
    """The number of deleted rows, by table."""

    subscriptions: int
    gaps: int
    quarantine: int


def bytes_beside_chunks(connection: Connection) -> int:
    """Return the size on disk of the tables that have no chunks."""
    return int(value_of(connection, SIZE, (list(TABLES),)))


def forget(connection: Connection, max_bytes: int, now: datetime) -> Forgotten:
    """Delete journal and quarantine rows in many short transactions, so that no writer waits for long."""
    journal = {"outlasts": OUTLASTS_RECORDS, "rows": ROWS_AT_ONCE}
    subscriptions, gaps = (
        _delete(connection, FORGET.format(table=table, confirmed=CONFIRMED_BY_ALL.format(table=f"'{table}'")), journal)
        for table in ("subscriptions", "gaps")
    )
    quarantined = _delete(connection, FORGET_QUARANTINE, {"now": now, "rows": ROWS_AT_ONCE})
    return Forgotten(
        subscriptions, gaps, quarantined + _keep_quarantine_small(connection, max_bytes // QUARANTINE_SHARE)
    )


def _delete(connection: Connection, statement: str, values: Mapping[str, object]) -> int:
    total = 0
    while total < MOST_ROWS:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            total += cursor.rowcount
            if cursor.rowcount < ROWS_AT_ONCE:
                break
    return total


def _keep_quarantine_small(connection: Connection, budget_bytes: int) -> int:
    """Delete the oldest quarantined rows beyond the budget. Return how many."""
    if int(value_of(connection, QUARANTINED_BYTES)) <= budget_bytes:
        connection.commit()
        return 0
    with connection, connection.cursor() as cursor:
        cursor.execute(FORGET_OLDEST_QUARANTINED, {"budget": budget_bytes})
        log.error(
            "quarantine over its disk budget: oldest rows deleted", rows=cursor.rowcount, budget_bytes=budget_bytes
        )
        return cursor.rowcount


# Ended markets and events are deleted from a gatherer's database at an age; production keeps them indefinitely.
#
# If the exchange shows a deleted market again, its row returns and is deleted again at that age.

MOST_AT_ONCE = 5_000

# Run as its own statement, before the one that chooses rows: otherwise a row could be rewritten after it was chosen.
LOCK = f"SELECT pg_advisory_xact_lock({TABLE_LOCK})"
# The table's last row is kept: a reader that continues from it takes a table that ends earlier for a restored one.
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
    # A market that REST stopped showing never becomes final.
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
    """Drop rows that ended before `keep_for` and that the deduplicator has confirmed, at most `most` per transaction.

    Return the number of dropped rows, by table.
    """
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
