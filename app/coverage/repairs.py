"""Trades that no gatherer has: where they are missing, and that they were asked for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from app.coverage.journals import Period
from app.normal.times import SECOND_US
from app.postgres.connection import Connection, value_of
from app.store.tables import PRODUCTION_TRADES, Row

# REST shows a trade a moment after it happened, and no trades of very long ago.
HOLES = """
    WITH known AS (SELECT max(known_until) AS until FROM coverage_hours)
    SELECT lower(hole), upper(hole)
    FROM known, coverage AS c
    CROSS JOIN LATERAL unnest(
        c.holes - coalesce(
            (
                SELECT range_agg(tstzrange(r.started_at, r.ended_at)) FROM trade_repairs AS r
                WHERE r.ticker = '' AND r.started_at < c.hour + INTERVAL '1 hour' AND r.ended_at > c.hour
            ),
            '{}'
        )
    ) AS hole
    WHERE c.channel = 'trade' AND c.ticker = '' AND c.hour > known.until - INTERVAL '7 days'
        AND upper(hole) <= known.until - INTERVAL '30 seconds'
    ORDER BY lower(hole) DESC LIMIT %s
"""
# A trade of the stream may stand under another time, where its message carried none.
KNOWN = """
    SELECT trade_id FROM trades
    WHERE trade_id = ANY(%s) AND exchange_ts BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""
NOTE = """
    INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added) VALUES (%s, %s, %s, %s, %s, %s)
"""
TIME, TRADE_ID = (PRODUCTION_TRADES.column_names.index(name) for name in ("exchange_ts", "trade_id"))
TOLERANCE = timedelta(minutes=1)
# More of them are repaired first.
MOST_HOLES = 10_000


class Reason(Enum):
    HOLE = "hole"
    VOLUME = "volume"
    ASKED = "asked"


class Repair(NamedTuple):
    ticker: str  # '': of the whole exchange
    period: Period
    reason: Reason


def merged_until(connection: Connection) -> datetime:
    """Without any recording there is nothing to wait for."""
    until: datetime = value_of(connection, "SELECT coalesce(max(known_until), now()) FROM coverage_hours")
    return until


def holes_to_repair(connection: Connection) -> list[Repair]:
    """The times in which nobody heard trades, and that were not asked for yet; the latest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute(HOLES, (MOST_HOLES,))
        return [Repair("", Period(*row), Reason.HOLE) for row in cursor]


def unknown_trades(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Those of the rows that are not here yet."""
    times = [row[TIME] // SECOND_US for row in rows]
    margin = TOLERANCE.seconds
    with connection, connection.cursor() as cursor:
        cursor.execute(KNOWN, ([row[TRADE_ID] for row in rows], min(times) - margin, max(times) + margin))
        known = {trade_id for (trade_id,) in cursor}
    return [row for row in rows if row[TRADE_ID] not in known]


def note_repair(connection: Connection, repair: Repair, trades: int, added: int) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(NOTE, (repair.ticker, *repair.period, repair.reason.value, trades, added))
