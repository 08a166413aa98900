"""Write the journal of a gatherer's own recording: runs, subscriptions and gaps.

In: what connections report, and losses found by the spool and the writers. Out: rows of the tables `runs`,
`subscriptions` and `gaps`, from which coverage is computed. A gap must be durable before, or together with, any row
that claims its time as recorded.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg2.extensions

from app.metrics import gatherer as metrics
from app.polling.trades import Interval
from app.postgres.dsn import Dsn
from app.runtime.threads import Offload, inline
from app.storage import tables
from app.storage.arrivals import TABLE_LOCK
from app.storage.spool.losses import EVERY_TABLE, Loss, Losses
from app.storage.spool.spool import SLACK_US
from app.storage.tables import (
    FIRST_BOOK_CONNECTION,
    GAPS,
    LIFECYCLE_CONNECTIONS,
    RUNS,
    SUBSCRIPTIONS,
    TICKER_CONNECTIONS,
    TRADE_CONNECTIONS,
    Row,
    Table,
)
from app.storage.writer import CopyWriter, WriteResult
from app.subscriptions.roles import role_of

WHOLE_EXCHANGE = ""
ALL_SUBSCRIPTIONS = -1
ALL_MARKETS = -1
LISTED_US = 12_000_000  # the list was requested at most this long before its answer: later answers are given up
BEFORE_THE_FIRST = 0  # not a stored gap: the part of a run in which a channel is not yet subscribed to


class Gap(NamedTuple):
    """A row of GAPS."""

    run_id: int
    number: int
    conn: int
    started_us: int
    ended_us: int | None
    sid: int
    markets: int
    missing: int | None
    channel: str
    cause: str


class SubscribedInterval(NamedTuple):
    """A row of SUBSCRIPTIONS."""

    run_id: int
    started_us: int
    ended_us: int | None
    conn: int
    channel: str
    ticker: str


def before_the_first(run_id: int, conn: int, ended_us: int | None) -> Gap:
    """Return the gap of a run before its first subscription; open if `ended_us` is None."""
    return Gap(
        run_id, BEFORE_THE_FIRST, conn, run_id, ended_us, ALL_SUBSCRIPTIONS, ALL_MARKETS, None, "", "unsubscribed"
    )


class Journal:
    """The journal entries of one connection, until they are taken to be stored."""

    def __init__(
        self, run_id: int, conn: int, numbers: Iterator[int], on_gap: Callable[[Gap], None] = lambda _: None
    ) -> None:
        self.conn = conn
        self._run_id = run_id
        self._role = role_of(conn)
        self._numbers = numbers
        self._on_gap = on_gap
        self.lag_us = 0  # how long messages are under way: that much of the time until now is not received yet
        self._rows: dict[str, list[Row]] = {GAPS.name: [], SUBSCRIPTIONS.name: []}

    def open_gap(
        self, channel: str, cause: str, started_us: int, *, sid: int, markets: int, missing: int | None = None
    ) -> Gap:
        number = next(self._numbers)
        gap = Gap(self._run_id, number, self.conn, started_us, None, sid, markets, missing, channel, cause)
        metrics.GAPS.labels(self._role.name, cause).inc()
        self._write(gap)
        return gap

    def close_gap(self, gap: Gap, ended_us: int) -> None:
        # Clocks are set back sometimes; an interval must not end before it begins.
        self._write(gap._replace(ended_us=max(ended_us, gap.started_us)))

    def began(self, channel: str, ticker: str, started_us: int) -> None:
        self._write_interval(channel, ticker, started_us, None)
        if ticker == WHOLE_EXCHANGE:
            self._on_gap(before_the_first(self._run_id, self.conn, started_us))

    def ended(self, channel: str, ticker: str, started_us: int, ended_us: int) -> None:
        self._write_interval(channel, ticker, started_us, max(started_us, ended_us - self.lag_us))

    def complete_until_us(self, received_us: int) -> int:
        """Return until when a subscription that is in the exchange's list lost nothing, given when the list arrived.

        A subscription that overflowed or ended is not in the list. On a quiet channel only the list distinguishes
        silence from a loss.
        """
        return received_us - LISTED_US - self.lag_us

    def take(self) -> list[tuple[Table, list[Row]]]:
        """Return the new rows by table, and forget them."""
        taken = [(table, self._rows[table.name]) for table in (SUBSCRIPTIONS, GAPS) if self._rows[table.name]]
        for table, _ in taken:
            self._rows[table.name] = []
        return taken

    def _write(self, gap: Gap) -> None:
        self._rows[GAPS.name].append(gap)
        self._on_gap(gap)

    def _write_interval(self, channel: str, ticker: str, started_us: int, ended_us: int | None) -> None:
        row = SubscribedInterval(self._run_id, started_us, ended_us, self.conn, channel, ticker)
        self._rows[SUBSCRIPTIONS.name].append(row)


KEPT_GAPS = 64


class MissedTrades:
    """Finds when no connection received trades, from the gaps of the connections that receive every trade.

    An open gap extends at least to the end of any closed one. So the overlap of two gaps is reported as soon as one of
    them is closed, and again with the other. Before its first subscription a connection receives nothing.
    """

    def __init__(self, conns: tuple[int, ...], run_id: int) -> None:
        self._open = {conn: {BEFORE_THE_FIRST: before_the_first(run_id, conn, None)} for conn in conns}
        # Only the latest are kept. Older gaps ended long ago, and no gap reported from now on begins that early.
        self._closed: dict[int, deque[Gap]] = {conn: deque(maxlen=KEPT_GAPS) for conn in conns}

    def add(self, gap: Gap) -> list[Interval]:
        """Return the intervals without any connection that have become certain with this gap."""
        if gap.ended_us is None:
            self._open[gap.conn][gap.number] = gap
            return []
        self._open[gap.conn].pop(gap.number, None)
        self._closed[gap.conn].append(gap)
        others = [
            other
            for conn in self._open
            if conn != gap.conn
            for other in (*self._open[conn].values(), *self._closed[conn])
        ]
        return [common for other in others if (common := _common(gap, other)) is not None]


def _common(gap: Gap, other: Gap) -> Interval | None:
    """Return the common interval, or None if there is none or if both gaps are open."""
    ended_us = gap.ended_us if other.ended_us is None else min(gap.ended_us or 0, other.ended_us)
    started_us = max(gap.started_us, other.started_us)
    return None if ended_us is None or ended_us < started_us else Interval(started_us, ended_us)


# Writing `runs` together with the gaps of lost rows: recorded_until must not be read without them.

BOOK_TABLES = (tables.ORDERBOOK_DELTAS.name, tables.ORDERBOOK_SNAPSHOTS.name)
# If a row of these tables is lost, it is unknown which other rows must be taken back.
JOURNALS = (SUBSCRIPTIONS.name, GAPS.name, EVERY_TABLE)
SOCKETS = {
    tables.TICKERS.name: TICKER_CONNECTIONS,
    tables.TRADES.name: TRADE_CONNECTIONS,
    tables.LIFECYCLE_EVENTS.name: LIFECYCLE_CONNECTIONS,
}

LOCK_GAPS = f"SELECT pg_advisory_xact_lock({TABLE_LOCK})"
KNOWN_RUNS = "SELECT run_id, (extract(epoch FROM recorded_until) * 1000000)::BIGINT FROM runs"
LAST_SOCKET = "SELECT coalesce(max(conn), 0) FROM subscriptions WHERE run_id = %s"
# Declared gaps have negative numbers, apart from the numbers that connections count. An overlapping one is extended, so
# that one gap covers the whole time in which rows are lost.
DECLARE = """
    WITH lost AS (
        SELECT
            TIMESTAMPTZ 'epoch' + %(started_us)s * INTERVAL '1 microsecond' AS started_at,
            TIMESTAMPTZ 'epoch' + %(ended_us)s::BIGINT * INTERVAL '1 microsecond' AS ended_at
    ),
    known AS (
        SELECT
            number, least(g.started_at, lost.started_at) AS started_at,
            CASE WHEN num_nulls(g.ended_at, lost.ended_at) = 0 THEN greatest(g.ended_at, lost.ended_at) END AS ended_at
        FROM gaps AS g, lost
        WHERE g.run_id = %(run_id)s AND g.number < 0 AND g.conn = %(conn)s AND g.cause = %(cause)s
            AND g.started_at <= coalesce(lost.ended_at, 'infinity')
            AND coalesce(g.ended_at, 'infinity') >= lost.started_at
    ),
    extended AS (
        UPDATE gaps AS g SET started_at = known.started_at, ended_at = known.ended_at, ingest_id = DEFAULT
        FROM known
        WHERE g.run_id = %(run_id)s AND g.number = known.number
            AND (g.started_at, g.ended_at) IS DISTINCT FROM (known.started_at, known.ended_at)
    )
    INSERT INTO gaps (run_id, number, conn, started_at, ended_at, sid, markets, channel, cause)
    SELECT
        %(run_id)s, (SELECT least(min(number), 0) - 1 FROM gaps WHERE run_id = %(run_id)s), %(conn)s,
        lost.started_at, lost.ended_at, %(sid)s, %(markets)s, %(channel)s, %(cause)s
    FROM lost WHERE NOT EXISTS (SELECT FROM known)
"""


class UncoveredInterval(NamedTuple):
    """The effect of a loss on one run: the interval in which its sockets of that kind count as not subscribed."""

    run_id: int
    started_us: int
    ended_us: int | None  # None: until the run ends


class RunWriter(CopyWriter):
    """Writes `runs` and the gaps of lost rows in one transaction.

    So a reader that sees until when a run has recorded everything also finds the gaps of what was lost before.

    A loss is kept while rows of earlier runs wait on disk: each of these runs may turn out to be affected.
    """

    def __init__(
        self,
        dsn: Dsn,
        losses: Losses,
        connections: int,
        refresh_seconds: int,
        has_older_rows: Callable[[], bool],
        offload: Offload = inline,
    ) -> None:
        super().__init__(RUNS, dsn, offload)
        self._losses = losses
        self._connections = connections
        self._refresh_us = refresh_seconds * 1_000_000
        self._has_older_rows = has_older_rows
        self._declared: dict[Path, list[Loss]] = {}
        self._endless: set[int] = set()  # runs whose gap has no end; this process is the last of them
        self._run_id = 0

    def why_not_ready(self) -> str | None:
        """Return why the gatherer is not ready, or None if it is."""
        if self._run_id in self._endless:
            return "The journal lacks rows, so nothing of this run counts as complete: restart this gatherer."
        if waiting := len(self._losses):
            return f"Rows were lost and the journal does not record it yet ({waiting} losses)."
        return None

    def write(self, rows: Sequence[Row]) -> WriteResult:
        are_last = not self._has_older_rows()
        written = super().write(rows)
        self._run_id = max(row[0] for row in rows)
        if are_last:
            self._losses.remove(self._declared)
        return written

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> WriteResult:
        self._declared = self._losses.read()
        if self._declared:
            # The writer of gaps takes the same lock, so that ids commit in order.
            cursor.execute(LOCK_GAPS, (GAPS.name,))
            cursor.execute(KNOWN_RUNS)
            known = dict(cursor.fetchall())
            for loss in (loss for losses in self._declared.values() for loss in losses):
                for uncovered in uncovered_by(loss, known, {row[0] for row in rows}, self._refresh_us):
                    self._declare(cursor, loss, uncovered)
        return super()._store(cursor, rows)

    def _declare(self, cursor: psycopg2.extensions.cursor, loss: Loss, uncovered: UncoveredInterval) -> None:
        if uncovered.ended_us is None:
            self._endless.add(uncovered.run_id)
        cursor.execute(LAST_SOCKET, (uncovered.run_id,))
        (last,) = cursor.fetchone() or (0,)
        whole = {"sid": ALL_SUBSCRIPTIONS, "markets": ALL_MARKETS, "cause": loss.cause}
        for conn in sockets_of(loss, max(last, self._connections)):
            role = role_of(conn)
            cursor.execute(DECLARE, {**uncovered._asdict(), **whole, "conn": conn, "channel": role.channels[0]})
            metrics.GAPS.labels(role.name, loss.cause).inc(cursor.rowcount)


def uncovered_by(
    loss: Loss, known: Mapping[int, int], written: Collection[int], refresh_us: int
) -> Iterator[UncoveredInterval]:
    """Yield the effect on each run that may have received the lost rows.

    `known` runs are in the database, with their recorded_until: rows that were on disk since then are all newer.
    `written` runs raise their recorded_until only after this.

    Runs use the exchange's time and a loss this host's, which may differ by SLACK_US either way.
    """
    runs = {**dict.fromkeys(written), **known}
    latest = max(known, default=None)
    ended_us: int | None = loss.until_us + SLACK_US + (refresh_us if loss.table in BOOK_TABLES else 0)
    if loss.table in JOURNALS:
        ended_us = None
    for run_id in sorted(runs):
        recorded_until_us = known.get(run_id, run_id)
        lost_us = recorded_until_us if loss.since_us is None else loss.since_us
        since_us = min(lost_us, loss.until_us) - SLACK_US
        is_going_on = run_id in written or run_id == latest
        has_claimed_too_much = loss.since_us is not None and recorded_until_us > since_us
        if run_id < loss.until_us and (is_going_on or has_claimed_too_much):
            yield UncoveredInterval(run_id, max(run_id - SLACK_US, since_us), ended_us)


def sockets_of(loss: Loss, connections: int) -> Sequence[int]:
    """Return the numbers of the connections that a loss concerns."""
    if loss.conn is not None:
        return (loss.conn,)
    if loss.table in BOOK_TABLES:
        return range(FIRST_BOOK_CONNECTION, connections + 1)
    every = range(1, connections + 1) if loss.table in JOURNALS else ()
    return SOCKETS.get(loss.table, every)
