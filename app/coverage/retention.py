"""Delete what production no longer needs to know of its own completeness.

Books are judged only as far back as production keeps the changes they are made of: older hours are no longer judged,
and their evidence is deleted. Evidence about the whole exchange is small, and is kept.
"""

from datetime import datetime

from app.postgres.connection import Connection, claimed
from app.runtime import logs

log = logs.get(__name__)

ROWS_AT_ONCE = 10_000
# Enough rows that cannot be read to find out why.
QUARANTINED_ROWS = 1_000_000

MOVE_HORIZON = """
    UPDATE coverage_horizon SET books_since = moved.books_since
    FROM (
        SELECT date_bin('1 hour', %(now)s - keep_for, 'epoch') AS books_since
        FROM chunked_tables WHERE table_name = 'orderbook_deltas'
    ) AS moved
    WHERE moved.books_since > coverage_horizon.books_since
"""
FORGET_BOOKS = """
    DELETE FROM coverage WHERE ctid = ANY (ARRAY (
        SELECT e.ctid FROM coverage AS e, coverage_horizon WHERE e.hour < books_since AND e.ticker <> '' LIMIT %(rows)s
    ))
"""
FORGET_SUBSCRIPTIONS = """
    DELETE FROM gatherer_subscriptions WHERE ctid = ANY (ARRAY (
        SELECT s.ctid FROM gatherer_subscriptions AS s, coverage_horizon
        WHERE s.ticker <> '' AND s.ended_at IS NOT NULL AND s.ended_at < books_since LIMIT %(rows)s
    ))
"""
# Subscriptions without an end lasted as long as their run, however that ended.
FORGET_SUBSCRIPTIONS_OF_OLD_RUNS = """
    DELETE FROM gatherer_subscriptions WHERE ctid = ANY (ARRAY (
        SELECT s.ctid
        FROM coverage_horizon, gatherer_runs AS r
        CROSS JOIN LATERAL (
            SELECT of_run.ctid FROM gatherer_subscriptions AS of_run
            WHERE of_run.gatherer = r.gatherer AND of_run.run_id = r.run_id AND of_run.ticker <> '' LIMIT %(rows)s
        ) AS s
        WHERE greatest(r.recorded_until, r.delivered_until) < books_since AND EXISTS (
            SELECT FROM gatherer_runs AS later WHERE later.gatherer = r.gatherer AND later.run_id > r.run_id
        )
        LIMIT %(rows)s
    ))
"""
FORGET_REFUSALS = """
    DELETE FROM gatherer_refusals WHERE ctid = ANY (ARRAY (
        SELECT r.ctid FROM gatherer_refusals AS r, coverage_horizon
        WHERE r.ended_at < books_since - INTERVAL '6 hours' LIMIT %(rows)s
    ))
"""
FORGET_QUARANTINE = """
    DELETE FROM quarantine WHERE ctid = ANY (ARRAY (
        SELECT q.ctid FROM quarantine AS q, coverage_horizon
        WHERE q.quarantined_at < books_since
            OR q.quarantine_id <= (SELECT max(quarantine_id) FROM quarantine) - %(quarantined)s
        LIMIT %(rows)s
    ))
"""
STEPS = (
    FORGET_BOOKS,
    FORGET_SUBSCRIPTIONS,
    FORGET_SUBSCRIPTIONS_OF_OLD_RUNS,
    FORGET_REFUSALS,
    FORGET_QUARANTINE,
)


def forget(
    connection: Connection, now: datetime, rows_at_once: int = ROWS_AT_ONCE, quarantined: int = QUARANTINED_ROWS
) -> int:
    """Delete old rows. Return how many, or 0 while another process deletes."""
    limits = {"rows": rows_at_once, "quarantined": quarantined}
    with claimed(connection, "forgetting coverage") as is_ours:
        if not is_ours:
            return 0
        with connection, connection.cursor() as cursor:
            cursor.execute(MOVE_HORIZON, {"now": now})
        gone = sum(_delete(connection, step, limits) for step in STEPS)
    if gone:
        log.info("coverage rows older than the oldest book changes deleted", rows=gone)
    return gone


def _delete(connection: Connection, step: str, limits: dict[str, int]) -> int:
    """Delete in parts, each in its own transaction, so that no other writer waits long."""
    gone = 0
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(step, limits)
            gone += cursor.rowcount
            if cursor.rowcount < limits["rows"]:
                return gone
