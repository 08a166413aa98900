"""Markets of which fewer trades are here than the exchange's own figures say: a ticker tells the volume of all trades
that ever were, so the growth from one to another is the size of all trades in between."""

from datetime import datetime
from typing import NamedTuple

from app.coverage.journals import Period
from app.postgres.connection import Connection

MOST_AT_ONCE = 2_000

# Since the last ticker before the hour, or else the first one in it.
SUSPECTS = """
    WITH told AS (
        SELECT
            ticker, min(exchange_ts) AS first_ts, min(volume_e2) AS first_volume_e2,
            max(exchange_ts) AS last_ts, max(volume_e2) AS last_volume_e2
        FROM tickers
        WHERE exchange_ts >= %(hour)s AND exchange_ts < %(hour)s + INTERVAL '1 hour' AND volume_e2 IS NOT NULL
        GROUP BY ticker
    ),
    grown AS (
        SELECT
            t.ticker, coalesce(before.exchange_ts, t.first_ts) AS since, t.last_ts AS until,
            t.last_volume_e2 - coalesce(before.volume_e2, t.first_volume_e2) AS volume_e2
        FROM told AS t
        LEFT JOIN LATERAL (
            SELECT b.exchange_ts, b.volume_e2 FROM tickers AS b
            WHERE b.ticker = t.ticker AND b.exchange_ts < %(hour)s AND b.exchange_ts >= %(hour)s - INTERVAL '1 day'
                AND b.volume_e2 IS NOT NULL
            ORDER BY b.exchange_ts DESC, b.volume_e2 DESC LIMIT 1
        ) AS before ON TRUE
    )
    SELECT g.ticker, g.since, g.until, g.volume_e2 - recorded.size_e2, count(*) OVER ()
    FROM grown AS g
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(size_e2), 0)::BIGINT AS size_e2 FROM trades AS r
        WHERE r.ticker = g.ticker AND r.exchange_ts > g.since AND r.exchange_ts <= g.until
    ) AS recorded
    WHERE g.volume_e2 > recorded.size_e2
    ORDER BY g.volume_e2 - recorded.size_e2 DESC
    LIMIT %(most)s
"""
UNCHECKED = """
    SELECT hour FROM coverage_hours
    WHERE known_until = hour + INTERVAL '1 hour' AND volumes_checked_at IS NULL
        AND hour > (SELECT max(known_until) FROM coverage_hours) - INTERVAL '7 days'
    ORDER BY hour DESC
"""


class Suspect(NamedTuple):
    ticker: str
    period: Period
    missing_e2: int


class Suspects(NamedTuple):
    listed: list[Suspect]
    markets: int  # of which those that lack most are listed


def unchecked_hours(connection: Connection) -> list[datetime]:
    """The whole hours whose volumes were not looked at yet; the latest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute(UNCHECKED)
        return [hour for (hour,) in cursor]


def suspects_of(connection: Connection, hour: datetime, most: int = MOST_AT_ONCE) -> Suspects:
    with connection, connection.cursor() as cursor:
        cursor.execute(SUSPECTS, {"hour": hour, "most": most})
        rows = cursor.fetchall()
    listed = [Suspect(ticker, Period(since, until), missing_e2) for ticker, since, until, missing_e2, _ in rows]
    return Suspects(listed, rows[0][-1] if rows else 0)


def note_checked(connection: Connection, hour: datetime) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE coverage_hours SET volumes_checked_at = now() WHERE hour = %s", (hour,))
