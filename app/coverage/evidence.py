"""The evidence of what gatherers received, read from their journals in production.

In: runs, subscriptions, gaps, losses and refusals. Out: a `Reception`, which answers in which intervals a channel or a
market was received, and the time up to which this is final: for later times gatherers may still deliver journals.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from app.coverage.intervals import END_US, Interval, Intervals, difference, intersection, moment_of, union, us_of
from app.postgres.connection import Connection
from app.storage import tables

BOOKS = "orderbook_delta"
TRADES = "trade"
TICKERS = "ticker"
LIFECYCLE = "market_lifecycle_v2"
COMBO_LIFECYCLE = "multivariate_market_lifecycle"
# One subscription to each of these channels receives all markets.
EXCHANGE_CHANNELS = (TRADES, TICKERS, LIFECYCLE)
WHOLE_EXCHANGE = ""


class HeardRun(NamedTuple):
    """One run of a gatherer's process."""

    gatherer: str
    run_id: int


class HeardSocket(NamedTuple):
    """A socket of a run, by its number."""

    run: HeardRun
    conn: int


class HeardSubscription(NamedTuple):
    """The time in which a socket was subscribed."""

    socket: HeardSocket
    started_us: int
    ended_us: int | None  # None: it lasts as long as its run


class HeardGap(NamedTuple):
    """A time in which a socket did not receive everything of a channel."""

    socket: HeardSocket
    channel: str | None  # None: all channels of the socket
    started_us: int
    ended_us: int | None  # None: the gap has not ended yet


class HeardLoss(NamedTuple):
    """An interval that a gatherer received, but whose rows were dropped before production had them, or are
    unreadable."""

    gatherer: str
    channel: str
    started_us: int
    ended_us: int
    ticker: str = WHOLE_EXCHANGE  # or of this one market


class Reception:
    """The intervals in which each socket received everything that it was subscribed to."""

    def __init__(
        self, runs: Mapping[HeardRun, Interval], gaps: Iterable[HeardGap], losses: Iterable[HeardLoss] = ()
    ) -> None:
        self._runs = runs
        self._losses = list(losses)
        self.marked_tickers = {loss.ticker for loss in self._losses} - {
            WHOLE_EXCHANGE
        }  # markets with losses of their own, besides the losses of their sockets
        self._gaps: dict[HeardSocket, list[HeardGap]] = defaultdict(list)
        for gap in gaps:
            self._gaps[gap.socket].append(gap)
        self._heard: dict[tuple[HeardSocket, str], Intervals] = {}

    def of_socket(self, socket: HeardSocket, channel: str) -> Intervals:
        known = self._heard.get((socket, channel))
        if known is None:
            known = self._heard[socket, channel] = self._received_in(socket, channel)
        return known

    def of_subscription(self, subscription: HeardSubscription, channel: str, ticker: str = WHOLE_EXCHANGE) -> Intervals:
        lasts = union([(subscription.started_us, _end(subscription.ended_us))])
        heard = intersection(self.of_socket(subscription.socket, channel), lasts)
        if ticker not in self.marked_tickers:
            return heard
        return difference(heard, self._lost(subscription.socket.run.gatherer, channel, ticker))

    def of(self, subscriptions: Iterable[HeardSubscription], channel: str, ticker: str = WHOLE_EXCHANGE) -> Intervals:
        """Return the intervals in which at least one of the subscriptions was received."""
        return union(
            interval
            for subscription in subscriptions
            for interval in self.of_subscription(subscription, channel, ticker)
        )

    def _received_in(self, socket: HeardSocket, channel: str) -> Intervals:
        if socket.run not in self._runs:
            return ()
        unheard = [
            (gap.started_us, _end(gap.ended_us))
            for gap in self._gaps.get(socket, ())
            if gap.channel is None or gap.channel == channel
        ]
        lost = self._lost(socket.run.gatherer, channel, WHOLE_EXCHANGE)
        return difference(union([self._runs[socket.run]]), union([*unheard, *lost]))

    def _lost(self, gatherer: str, channel: str, ticker: str) -> Intervals:
        about = (gatherer, channel, ticker)
        return union(
            (loss.started_us, loss.ended_us)
            for loss in self._losses
            if (loss.gatherer, loss.channel, loss.ticker) == about
        )


def _end(ended_us: int | None) -> int:
    return END_US if ended_us is None else ended_us


# The time up to which it is final what was received. For later times, a gatherer may still deliver what looks like a
# hole.

PATIENCE = timedelta(minutes=10)


class RunState(NamedTuple):
    """A run of a gatherer, and how much of it production has."""

    started_us: int
    recorded_us: int
    delivered_us: int | None  # None: nothing of the run is in production yet
    has_ended: bool

    @property
    def known_us(self) -> int:
        return self.started_us if self.delivered_us is None else self.delivered_us

    @property
    def is_delivered(self) -> bool:
        return self.known_us >= self.recorded_us


class GathererState(NamedTuple):
    """A gatherer's runs, and when production last had contact with it."""

    contacted_us: int  # when its journal was last read
    runs: list[RunState]

    def awaited_runs(self, oldest_us: int) -> Iterator[RunState]:
        """Yield the runs that may still deliver rows. A run is over once another one followed it, however it ended."""
        latest = max(self.runs, key=lambda run: run.started_us, default=None)
        for run in self.runs:
            is_going_on = run is latest and not run.has_ended and run.recorded_us > oldest_us
            if is_going_on or not run.is_delivered:
                yield run


def known_until_us(gatherers: Iterable[GathererState], now_us: int, patience_us: int) -> int:
    """Return the time up to which all gatherers have delivered. One out of contact for longer than the patience is not
    waited for: when it delivers later, the hours are judged again."""
    oldest_us = now_us - patience_us
    awaited = [
        run.known_us
        for gatherer in gatherers
        if gatherer.contacted_us > oldest_us
        for run in gatherer.awaited_runs(oldest_us)
    ]
    return min(awaited, default=oldest_us)


# The gatherers' journals, read from production.

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
# Gatherers request every book once more within this time at most (KALSHI_SNAPSHOT_REFRESH_SECONDS), so a lost book is
# known again by then. 0023_losses.sql and 0038_judged.sql judge the same number of hours again.
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
# A killed gatherer writes no end of its run. It adds nothing more to that run once it has started the next one.
STATES = """
    SELECT
        gatherer, c.contacted_at, r.started_at, r.recorded_until, r.delivered_until,
        r.ended_at IS NOT NULL OR r.trusted_until IS NOT NULL
        OR EXISTS (SELECT FROM gatherer_runs AS later WHERE later.gatherer = r.gatherer AND later.run_id > r.run_id)
    FROM gatherer_contacts AS c JOIN gatherer_runs AS r USING (gatherer)
    ORDER BY gatherer
"""


class HeardPeriod(NamedTuple):
    start: datetime
    end: datetime

    @classmethod
    def of(cls, interval: Interval) -> "HeardPeriod":
        return cls(*map(moment_of, interval))

    @property
    def interval(self) -> Interval:
        return us_of(self.start), us_of(self.end)


def read_evidence(connection: Connection, period: HeardPeriod) -> Reception:
    with connection.cursor() as cursor:
        cursor.execute(RUNS, period._asdict())
        runs = {HeardRun(gatherer, run_id): (us_of(start), us_of(end)) for gatherer, run_id, start, end in cursor}
        cursor.execute(GAPS, period._asdict())
        gaps = [
            HeardGap(HeardSocket(HeardRun(gatherer, run_id), conn), channel, us_of(start), end and us_of(end))
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
    return Reception(runs, gaps, losses)


def _loss(gatherer: str, channel: str, start: datetime, end: datetime, ticker: str = WHOLE_EXCHANGE) -> HeardLoss:
    return HeardLoss(gatherer, channel, us_of(start), us_of(end) + (SNAPSHOTS_US if channel == BOOKS else 0), ticker)


def read_subscriptions(
    connection: Connection, period: HeardPeriod, ticker: str = WHOLE_EXCHANGE
) -> dict[str, list[HeardSubscription]]:
    """Return the subscriptions to one market, or to the whole exchange, by channel."""
    found: dict[str, list[HeardSubscription]] = {}
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIPTIONS, {**period._asdict(), "ticker": ticker})
        for channel, *row in cursor:
            found.setdefault(channel, []).append(subscription_of(*row))
    return found


def subscription_of(
    gatherer: str, run_id: int, conn: int, started_at: datetime, ended_at: datetime | None
) -> HeardSubscription:
    return HeardSubscription(
        HeardSocket(HeardRun(gatherer, run_id), conn), us_of(started_at), us_of(ended_at) if ended_at else None
    )


def read_gatherers(connection: Connection) -> Iterator[GathererState]:
    states: dict[str, GathererState] = {}
    with connection.cursor() as cursor:
        cursor.execute(STATES)
        for gatherer, contacted_at, started_at, recorded_until, delivered_until, has_ended in cursor:
            state = states.setdefault(gatherer, GathererState(us_of(contacted_at), []))
            delivered_us = delivered_until and us_of(delivered_until)
            state.runs.append(RunState(us_of(started_at), us_of(recorded_until), delivered_us, has_ended))
    yield from states.values()
