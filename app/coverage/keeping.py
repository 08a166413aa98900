"""Which hours are to be judged, and when."""

from datetime import datetime, timedelta
from typing import NamedTuple

from app.coverage.hours import Judged, judge_hour
from app.coverage.journals import read_gatherers
from app.coverage.knowledge import known_until_us
from app.coverage.moments import moment_of, us_of
from app.normal.times import MICROSECOND
from app.postgres.claim import claimed
from app.postgres.connection import Connection

# Who learns something meanwhile sees the new hours, or is seen by who judges them first.
LOCK_BEFORE_NEW_HOURS = """
    SELECT pg_advisory_xact_lock(hashtextextended('coverage_changes', 0))
    WHERE NOT EXISTS (
        SELECT FROM coverage_hours WHERE hour = date_bin('1 hour', %(known)s - INTERVAL '1 microsecond', 'epoch')
    )
"""
MAKE_HOURS = """
    WITH made AS (
        INSERT INTO coverage_hours (hour, known_until)
        SELECT hour, hour
        FROM (SELECT date_bin('1 hour', min(started_at), 'epoch') AS first FROM gatherer_runs) AS recording
        CROSS JOIN LATERAL generate_series(first, %(known)s, INTERVAL '1 hour') AS hour
        WHERE hour < %(known)s AND hour >= (SELECT books_since FROM coverage_horizon)
        ON CONFLICT DO NOTHING
        RETURNING hour
    )
    INSERT INTO coverage_changes (hour) SELECT hour FROM made
"""
WAITING = """
    SELECT
        (array_agg(hour ORDER BY hour DESC) FILTER (WHERE coalesce(judged_at, '-infinity') < now() - %(pause)s))[1],
        count(*) FILTER (WHERE hour + INTERVAL '1 hour' <= %(known)s)
    FROM coverage_hours JOIN coverage_changes USING (hour)
    WHERE (changes <> judged_changes OR known_until < least(hour + INTERVAL '1 hour', %(known)s))
        AND hour >= (SELECT books_since FROM coverage_horizon)
"""
# Of an hour without changes that wait, all that concern it are judged.
FORGET_JUDGED = """
    DELETE FROM coverage_market_changes WHERE number <= (
        SELECT coalesce(min(judged_number), 9223372036854775807)
        FROM coverage_hours JOIN coverage_changes USING (hour)
        WHERE changes <> judged_changes AND hour >= (SELECT books_since FROM coverage_horizon)
    )
"""
HOLES = """
    SELECT
        channel, count(DISTINCT ticker) FILTER (WHERE ticker <> ''),
        coalesce(extract(epoch FROM sum(upper(hole) - lower(hole))), 0)
    FROM coverage LEFT JOIN LATERAL unnest(holes) AS hole ON ticker = ''
    WHERE state = 'hole' AND hour > now() - INTERVAL '24 hours'
    GROUP BY channel
"""


class Kept(NamedTuple):
    known_until: datetime
    judged: Judged | None  # None: no hour was due
    hours_waiting: int  # that are over


class Holes(NamedTuple):
    """Of the last day."""

    channel: str
    markets: int
    exchange_seconds: float


def keep(connection: Connection, now: datetime, patience: timedelta, pause: timedelta) -> Kept:
    """Judges the latest hour of which more is known than when it was judged, if that is longer ago than the pause."""
    with connection, connection.cursor() as cursor:
        known = moment_of(known_until_us(read_gatherers(connection), us_of(now), patience // MICROSECOND))
        cursor.execute(LOCK_BEFORE_NEW_HOURS, {"known": known})
        cursor.execute(MAKE_HOURS, {"known": known})
        cursor.execute(WAITING, {"known": known, "pause": pause})
        hour, waiting = cursor.fetchone() or (None, 0)
    with claimed(connection, "judging coverage") as is_ours:
        judged = judge_hour(connection, hour, known) if is_ours and hour else None
        if judged:
            _forget_judged(connection)
    return Kept(known, judged, waiting)


def _forget_judged(connection: Connection) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(FORGET_JUDGED)


def holes_of_the_last_day(connection: Connection) -> list[Holes]:
    with connection, connection.cursor() as cursor:
        cursor.execute(HOLES)
        return [Holes(channel, markets, float(seconds)) for channel, markets, seconds in cursor]
