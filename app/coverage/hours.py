"""Judge an hour: find the times in it that no gatherer received, and store them as rows of `coverage`.

In: the evidence (evidence.py) and the markets that were open. Out: one row for each market or channel that is not
complete; a complete one has none. Evidence may arrive late, so an hour is judged again whenever its evidence has
changed.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from psycopg2.extras import execute_values

from app.coverage.evidence import (
    BOOKS,
    COMBO_LIFECYCLE,
    EXCHANGE_CHANNELS,
    TRADES,
    WHOLE_EXCHANGE,
    HeardPeriod,
    HeardRun,
    HeardSocket,
    HeardSubscription,
    Reception,
    known_until_us,
    read_evidence,
    read_gatherers,
    read_subscriptions,
    subscription_of,
)
from app.coverage.intervals import (
    NEVER,
    Interval,
    Intervals,
    difference,
    intersection,
    moment_of,
    multirange,
    union,
    us_of,
)
from app.normalize.values import MICROSECOND
from app.postgres.connection import Connection, claimed, value_of
from kalshi_data.layout import HOUR

# The completeness of a market's record, or of a channel of the whole exchange, over a time.

REST = "rest"


class CoverageState(Enum):
    COMPLETE = "complete"
    REPAIRED = "repaired"
    HOLE = "hole"


class Completeness(NamedTuple):
    """The holes in a record over a time, and the parts that were repaired."""

    holes: Intervals
    repaired: Intervals = NEVER
    repaired_by: tuple[str, ...] = ()

    @property
    def state(self) -> CoverageState:
        if self.holes:
            return CoverageState.HOLE
        return CoverageState.REPAIRED if self.repaired else CoverageState.COMPLETE


def judge_books(
    life: Interval,
    subscriptions: Iterable[HeardSubscription],
    evidence: Reception,
    ticker: str = WHOLE_EXCHANGE,
    disproved: Intervals = NEVER,
) -> Completeness:
    """Judge a market's book. A hole lasts until the next snapshot; its end names the gatherers that had the book again
    first. What the audit has disproved is a hole, even if a gatherer claims to have received it."""
    heard = {gatherer: evidence.of(own, BOOKS, ticker) for gatherer, own in _by_gatherer(subscriptions).items()}
    everybody = union(interval for intervals in heard.values() for interval in intervals)
    holes = difference(union([life]), difference(everybody, disproved))
    ends = {end for _, end in holes}
    again = sorted(name for name, intervals in heard.items() if any(start in ends for start, _ in intervals))
    return Completeness(holes, repaired_by=tuple(again))


def judge_channel(
    period: Interval, channel: str, subscriptions: Iterable[HeardSubscription], evidence: Reception, fetched: Intervals
) -> Completeness:
    """Judge a channel of the whole exchange. What REST has fetched afterwards is repaired, not a hole."""
    unheard = difference(union([period]), evidence.of(subscriptions, channel))
    repaired = intersection(unheard, fetched)
    return Completeness(difference(unheard, fetched), repaired, (REST,) if repaired else ())


def _by_gatherer(subscriptions: Iterable[HeardSubscription]) -> dict[str, list[HeardSubscription]]:
    grouped: dict[str, list[HeardSubscription]] = {}
    for subscription in subscriptions:
        grouped.setdefault(subscription.socket.run.gatherer, []).append(subscription)
    return grouped


ROWS_AT_ONCE = 1_000

# A loose index scan, from one socket to the next along the primary key, since each socket has very many subscriptions.
SOCKETS = """
    WITH RECURSIVE sockets (gatherer, run_id, conn) AS (
        SELECT r.gatherer, r.run_id, first.conn
        FROM gatherer_runs AS r
        CROSS JOIN LATERAL (
            SELECT s.conn FROM gatherer_subscriptions AS s
            WHERE s.gatherer = r.gatherer AND s.run_id = r.run_id ORDER BY s.conn LIMIT 1
        ) AS first
        WHERE r.started_at <= %(start)s AND r.delivered_until >= %(end)s
        UNION ALL
        SELECT before.gatherer, before.run_id, next.conn
        FROM sockets AS before
        CROSS JOIN LATERAL (
            SELECT s.conn FROM gatherer_subscriptions AS s
            WHERE s.gatherer = before.gatherer AND s.run_id = before.run_id AND s.conn > before.conn
            ORDER BY s.conn LIMIT 1
        ) AS next
    )
    SELECT gatherer, run_id, conn FROM sockets
"""
# Most markets are found complete by one look: their socket received everything all the time, they were subscribed to
# all the time, and no other evidence speaks against them.
SUSPECTS = """
    WITH steady (gatherer, run_id, conn) AS (
        SELECT * FROM unnest(%(gatherers)s::TEXT[], %(runs)s::BIGINT[], %(conns)s::INTEGER[])
    ),
    alive AS (
        SELECT
            ticker, greatest(open_time, %(start)s) AS opens, least(close_time, %(end)s) AS closes,
            least(traded_until(close_time), %(end)s) AS falls_silent
        FROM markets
        WHERE coalesce(open_time, '-infinity') < %(end)s AND coalesce(traded_until(close_time), 'infinity') > %(start)s
    )
    SELECT
        m.ticker, m.opens, m.falls_silent, s.gatherer, s.run_id, s.conn, s.started_at,
        -- Who unsubscribed after the close knew that nothing would come any more.
        CASE WHEN s.ended_at < m.closes THEN s.ended_at END
    FROM alive AS m
    LEFT JOIN (gatherer_subscriptions AS s JOIN gatherer_runs AS r USING (gatherer, run_id))
        ON s.ticker = m.ticker AND s.channel = %(books)s
        AND s.started_at < m.falls_silent AND coalesce(s.ended_at, 'infinity') > m.opens
        AND r.started_at < m.falls_silent AND r.delivered_until > m.opens
    WHERE m.opens < m.falls_silent AND NOT EXISTS (
        SELECT FROM gatherer_subscriptions AS whole JOIN steady USING (gatherer, run_id, conn)
        WHERE whole.ticker = m.ticker AND whole.channel = %(books)s AND whole.ticker <> ALL (%(doubtful)s)
            AND whole.started_at <= m.opens AND coalesce(whole.ended_at, 'infinity') >= m.closes
    )
    ORDER BY m.ticker
"""
COMBOS = """
    SELECT EXISTS (
        SELECT FROM markets WHERE mve_collection_ticker IS NOT NULL
            AND coalesce(open_time, '-infinity') < %(end)s AND coalesce(close_time, 'infinity') > %(start)s
    )
"""
FETCHED = """
    SELECT started_at, ended_at FROM trade_repairs
    WHERE ticker = '' AND started_at < %(end)s AND ended_at > %(start)s
"""
DISPROVED = """
    SELECT ticker, from_ts, to_ts FROM audit_findings
    WHERE resolved_at IS NULL AND NOT is_explained AND from_ts < %(end)s AND to_ts > %(start)s
"""
CHANGES = """
    SELECT
        changes, known_until,
        greatest(judged_number, (SELECT coalesce(max(number), 0) FROM coverage_market_changes))
    FROM coverage_hours JOIN coverage_changes USING (hour) WHERE hour = %s
"""
INSERT = "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) VALUES %s"
COUNT = "SELECT count(*) FILTER (WHERE ticker <> ''), count(*) FILTER (WHERE ticker = '') FROM coverage WHERE hour = %s"
JUDGED = """
    UPDATE coverage_hours SET known_until = %s, judged_changes = %s, judged_number = %s, judged_at = now()
    WHERE hour = %s
"""


class Shortfall(NamedTuple):
    """A market's book or a channel that is not complete."""

    channel: str
    ticker: str
    judgement: Completeness


class Judged(NamedTuple):
    hour: datetime
    is_final: bool
    incomplete_books: int
    incomplete_channels: int


def judge_hour(connection: Connection, hour: datetime, known_until: datetime) -> Judged:
    """Judge an hour again, in one transaction. It reads the number of changes before any evidence, so that a change
    that commits meanwhile makes the hour due again."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(CHANGES, (hour,))
        changes, known_before, number = cursor.fetchone() or (0, hour, 0)
        end = min(hour + HOUR, max(known_until, known_before))
        cursor.execute("DELETE FROM coverage WHERE hour = %s", (hour,))
        if end > hour:
            found = shortfalls(connection, HeardPeriod(hour, end))
            execute_values(cursor, INSERT, (_row(hour, each) for each in found), page_size=ROWS_AT_ONCE)
        cursor.execute(JUDGED, (end, changes, number, hour))
        cursor.execute(COUNT, (hour,))
        books, channels = cursor.fetchone() or (0, 0)
    return Judged(hour, end == hour + HOUR, books, channels)


def shortfalls(connection: Connection, period: HeardPeriod) -> Iterator[Shortfall]:
    evidence = read_evidence(connection, period)
    yield from _channels(connection, period, evidence)
    yield from _books(connection, period, evidence)


def _channels(connection: Connection, period: HeardPeriod, evidence: Reception) -> Iterator[Shortfall]:
    subscriptions = read_subscriptions(connection, period)
    expected = (*EXCHANGE_CHANNELS, COMBO_LIFECYCLE) if _has_combos(connection, period) else EXCHANGE_CHANNELS
    for channel in sorted({*expected, *subscriptions}):
        fetched = _fetched(connection, period) if channel == TRADES else NEVER
        judgement = judge_channel(period.interval, channel, subscriptions.get(channel, ()), evidence, fetched)
        if judgement.state is not CoverageState.COMPLETE:
            yield Shortfall(channel, WHOLE_EXCHANGE, judgement)


def _has_combos(connection: Connection, period: HeardPeriod) -> bool:
    return bool(value_of(connection, COMBOS, period._asdict()))


def _books(connection: Connection, period: HeardPeriod, evidence: Reception) -> Iterator[Shortfall]:
    steady = _steady(connection, period, evidence)
    disproved = _disproved(connection, period)
    doubtful = [*{*disproved, *evidence.marked_tickers}]
    # After an outage the cursor returns all markets: a named cursor fetches them in parts.
    with connection.cursor(name="suspects") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(SUSPECTS, {**period._asdict(), "books": BOOKS, "doubtful": doubtful, **steady})
        for (ticker, opens, closes), rows in groupby(cursor, itemgetter(0, 1, 2)):
            subscriptions = [subscription_of(*row[3:]) for row in rows if row[3] is not None]
            life = us_of(opens), us_of(closes)
            judgement = judge_books(life, subscriptions, evidence, ticker, disproved.get(ticker, NEVER))
            if judgement.state is not CoverageState.COMPLETE:
                yield Shortfall(BOOKS, ticker, judgement)


def _steady(connection: Connection, period: HeardPeriod, evidence: Reception) -> dict[str, list[object]]:
    """Return the sockets that received everything of the whole period, column by column."""
    with connection.cursor() as cursor:
        cursor.execute(SOCKETS, period._asdict())
        whole = [row for row in cursor if _received_all(evidence, HeardSocket(HeardRun(*row[:2]), row[2]), period)]
    return {name: [row[at] for row in whole] for at, name in enumerate(("gatherers", "runs", "conns"))}


def _received_all(evidence: Reception, socket: HeardSocket, period: HeardPeriod) -> bool:
    start_us, end_us = period.interval
    return any(start <= start_us and end >= end_us for start, end in evidence.of_socket(socket, BOOKS))


def _disproved(connection: Connection, period: HeardPeriod) -> dict[str, Intervals]:
    """Return the times, by market, in which the recorded book was not what the exchange showed."""
    found: dict[str, list[Interval]] = {}
    with connection.cursor() as cursor:
        cursor.execute(DISPROVED, period._asdict())
        for ticker, start, end in cursor:
            found.setdefault(ticker, []).append((us_of(start), us_of(end)))
    return {ticker: union(intervals) for ticker, intervals in found.items()}


def _fetched(connection: Connection, period: HeardPeriod) -> Intervals:
    with connection.cursor() as cursor:
        cursor.execute(FETCHED, period._asdict())
        return union((us_of(start), us_of(end)) for start, end in cursor)


def _row(hour: datetime, found: Shortfall) -> tuple[object, ...]:
    judgement = found.judgement
    ranges = multirange(judgement.holes), multirange(judgement.repaired)
    return (hour, found.channel, found.ticker, judgement.state.value, *ranges, list(judgement.repaired_by))


# The choice of the hour that is judged next.

# Writers of delayed evidence take the same lock (sql/production/0038_judged.sql). So each of them either sees the new
# hours and marks them changed, or commits before the hours are first judged.
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
# An hour without waiting changes has judged every change of a market that concerns it.
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


class JudgedHour(NamedTuple):
    known_until: datetime
    judged: Judged | None  # None: no hour was due
    hours_waiting: int  # of the hours that are over


class Holes(NamedTuple):
    """The holes of the last day in one channel."""

    channel: str
    markets: int
    exchange_seconds: float


def judge_next_hour(connection: Connection, now: datetime, patience: timedelta, pause: timedelta) -> JudgedHour:
    """Judge the latest hour whose evidence has changed or grown since it was judged, if the last judgement is older
    than the pause."""
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
    return JudgedHour(known, judged, waiting)


def _forget_judged(connection: Connection) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(FORGET_JUDGED)


def holes_of_the_last_day(connection: Connection) -> list[Holes]:
    with connection, connection.cursor() as cursor:
        cursor.execute(HOLES)
        return [Holes(channel, markets, float(seconds)) for channel, markets, seconds in cursor]
