"""The gatherers' journals, read from production."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from app.coverage.hearing import (
    BOOKS,
    COMBO_LIFECYCLE,
    LIFECYCLE,
    TICKERS,
    TRADES,
    WHOLE_EXCHANGE,
    Gap,
    Hearing,
    Loss,
    Run,
    Socket,
    Subscription,
)
from app.coverage.intervals import Interval
from app.coverage.knowledge import GathererState, RunState
from app.coverage.moments import moment_of, us_of
from app.postgres.connection import Connection
from app.store import tables

RUNS = """
    SELECT gatherer, run_id, started_at, delivered_until FROM gatherer_runs
    WHERE started_at < %(end)s AND delivered_until > %(start)s
"""
GAPS = """
    SELECT gatherer, run_id, g.conn, CASE WHEN g.sid >= 0 THEN g.channel END, g.started_at, g.ended_at
    FROM gatherer_gaps AS g JOIN gatherer_runs AS r USING (gatherer, run_id)
    WHERE r.started_at < %(end)s AND r.delivered_until > %(start)s
        AND g.started_at < %(end)s AND coalesce(g.ended_at, 'infinity') > %(start)s
"""
LOSSES = """
    SELECT gatherer, table_name, started_at, ended_at FROM gatherer_losses
    WHERE started_at < %(end)s AND ended_at + %(snapshots_us)s * INTERVAL '1 microsecond' > %(start)s
"""
REFUSALS = """
    SELECT gatherer, table_name, ticker, started_at, ended_at FROM gatherer_refusals
    WHERE stored_at IS NULL AND started_at < %(end)s
        AND ended_at + %(snapshots_us)s * INTERVAL '1 microsecond' > %(start)s
"""
# Gatherers ask for every book once more in this time at most (KALSHI_SNAPSHOT_REFRESH_SECONDS), and one that was lost
# is known again. 0023_losses.sql and 0038_judged.sql judge as many hours.
SNAPSHOTS_US = 6 * 3_600_000_000
CHANNELS = {
    tables.ORDERBOOK_DELTAS.name: (BOOKS,),
    tables.ORDERBOOK_SNAPSHOTS.name: (BOOKS,),
    tables.TRADES.name: (TRADES,),
    tables.TICKERS.name: (TICKERS,),
    tables.LIFECYCLE_EVENTS.name: (LIFECYCLE, COMBO_LIFECYCLE),
}
SUBSCRIPTIONS = """
    SELECT channel, s.gatherer, s.run_id, s.conn, s.started_at, s.ended_at FROM gatherer_subscriptions AS s
    JOIN gatherer_runs AS r USING (gatherer, run_id)
    WHERE s.ticker = %(ticker)s AND r.started_at < %(end)s AND r.delivered_until > %(start)s
        AND s.started_at < %(end)s AND coalesce(s.ended_at, 'infinity') > %(start)s
"""
# Who was killed says no more of that run once it runs again.
STATES = """
    SELECT
        gatherer, c.contacted_at, r.started_at, r.recorded_until, r.delivered_until,
        r.ended_at IS NOT NULL OR r.trusted_until IS NOT NULL
        OR EXISTS (SELECT FROM gatherer_runs AS later WHERE later.gatherer = r.gatherer AND later.run_id > r.run_id)
    FROM gatherer_contacts AS c JOIN gatherer_runs AS r USING (gatherer)
    ORDER BY gatherer
"""


class Period(NamedTuple):
    start: datetime
    end: datetime

    @classmethod
    def of(cls, interval: Interval) -> "Period":
        return cls(*map(moment_of, interval))

    @property
    def interval(self) -> Interval:
        return us_of(self.start), us_of(self.end)


def read_hearing(connection: Connection, period: Period) -> Hearing:
    with connection.cursor() as cursor:
        cursor.execute(RUNS, period._asdict())
        runs = {Run(gatherer, run_id): (us_of(start), us_of(end)) for gatherer, run_id, start, end in cursor}
        cursor.execute(GAPS, period._asdict())
        gaps = [
            Gap(Socket(Run(gatherer, run_id), conn), channel, us_of(start), end and us_of(end))
            for gatherer, run_id, conn, channel, start, end in cursor
        ]
        cursor.execute(LOSSES, {**period._asdict(), "snapshots_us": SNAPSHOTS_US})
        losses = [_loss(gatherer, channel, *row) for gatherer, table, *row in cursor for channel in CHANNELS[table]]
        cursor.execute(REFUSALS, {**period._asdict(), "snapshots_us": SNAPSHOTS_US})
        losses += [
            _loss(gatherer, channel, start, end, ticker if channel == BOOKS else WHOLE_EXCHANGE)
            for gatherer, table, ticker, start, end in cursor
            for channel in CHANNELS[table]
        ]
    return Hearing(runs, gaps, losses)


def _loss(gatherer: str, channel: str, start: datetime, end: datetime, ticker: str = WHOLE_EXCHANGE) -> Loss:
    return Loss(gatherer, channel, us_of(start), us_of(end) + (SNAPSHOTS_US if channel == BOOKS else 0), ticker)


def read_subscriptions(
    connection: Connection, period: Period, ticker: str = WHOLE_EXCHANGE
) -> dict[str, list[Subscription]]:
    """To one market, or to the whole exchange, by channel."""
    found: dict[str, list[Subscription]] = {}
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIPTIONS, {**period._asdict(), "ticker": ticker})
        for channel, *row in cursor:
            found.setdefault(channel, []).append(subscription_of(*row))
    return found


def subscription_of(
    gatherer: str, run_id: int, conn: int, started_at: datetime, ended_at: datetime | None
) -> Subscription:
    return Subscription(Socket(Run(gatherer, run_id), conn), us_of(started_at), us_of(ended_at) if ended_at else None)


def read_gatherers(connection: Connection) -> Iterator[GathererState]:
    states: dict[str, GathererState] = {}
    with connection.cursor() as cursor:
        cursor.execute(STATES)
        for gatherer, contacted_at, started_at, recorded_until, delivered_until, has_ended in cursor:
            state = states.setdefault(gatherer, GathererState(us_of(contacted_at), []))
            delivered_us = delivered_until and us_of(delivered_until)
            state.runs.append(RunState(us_of(started_at), us_of(recorded_until), delivered_us, has_ended))
    yield from states.values()
