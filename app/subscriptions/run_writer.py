"""Writes `runs`, and what their recorded_until must not be read without: the gaps of rows that were lost."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg2.extensions

from app.metrics import connections as metrics
from app.offload import Offload, inline
from app.postgres.dsn import Dsn
from app.recording import FIRST_BOOK_CONNECTION, LIFECYCLE_CONNECTIONS, TICKER_CONNECTIONS, TRADE_CONNECTIONS
from app.spool.losses import EVERY_TABLE, Loss, Losses
from app.spool.spool import SLACK_US
from app.store import tables
from app.store.arrivals import TABLE_LOCK
from app.store.journal_tables import GAPS, RUNS, SUBSCRIPTIONS
from app.store.tables import Row
from app.store.writer import CopyWriter, Written
from app.subscriptions.journal import ALL_MARKETS, ALL_SUBSCRIPTIONS
from app.subscriptions.roles import role_of

BOOK_TABLES = (tables.ORDERBOOK_DELTAS.name, tables.ORDERBOOK_SNAPSHOTS.name)
# Without a row of these nobody knows what else must be taken back.
JOURNALS = (SUBSCRIPTIONS.name, GAPS.name, EVERY_TABLE)
SOCKETS = {
    tables.TICKERS.name: TICKER_CONNECTIONS,
    tables.TRADES.name: TRADE_CONNECTIONS,
    tables.LIFECYCLE_EVENTS.name: LIFECYCLE_CONNECTIONS,
}

LOCK_GAPS = f"SELECT pg_advisory_xact_lock({TABLE_LOCK})"
KNOWN_RUNS = "SELECT run_id, (extract(epoch FROM recorded_until) * 1000000)::BIGINT FROM runs"
LAST_SOCKET = "SELECT coalesce(max(conn), 0) FROM subscriptions WHERE run_id = %s"
# One that overlaps is made longer: there is one for as long as rows are lost.
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


class Unheard(NamedTuple):
    """What a loss means to one run: from when to when its sockets of that kind count as not listened to."""

    run_id: int
    started_us: int
    ended_us: int | None  # None: as long as it runs


class RunWriter(CopyWriter):
    """Whoever reads up to when a run has recorded everything finds the gaps of what was lost before, since both are
    one transaction.

    A loss is known for as long as rows of earlier runs wait on the disk: each may turn out to have been concerned.
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
        self._endless: set[int] = set()  # runs, of which this process is the last
        self._run_id = 0

    def why_not_ready(self) -> str | None:
        if self._run_id in self._endless:
            return "The journal lacks rows, so that nothing of this run counts any more: restart this gatherer."
        if waiting := len(self._losses):
            return f"Rows are lost, and the journal does not say so yet ({waiting} times)."
        return None

    def write(self, rows: Sequence[Row]) -> Written:
        are_last = not self._has_older_rows()
        written = super().write(rows)
        self._run_id = max(row[0] for row in rows)
        if are_last:
            self._losses.remove(self._declared)
        return written

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> Written:
        self._declared = self._losses.read()
        if self._declared:
            cursor.execute(LOCK_GAPS, (GAPS.name,))
            cursor.execute(KNOWN_RUNS)
            known = dict(cursor.fetchall())
            for loss in (loss for losses in self._declared.values() for loss in losses):
                for unheard in unheard_by(loss, known, {row[0] for row in rows}, self._refresh_us):
                    self._declare(cursor, loss, unheard)
        return super()._store(cursor, rows)

    def _declare(self, cursor: psycopg2.extensions.cursor, loss: Loss, unheard: Unheard) -> None:
        if unheard.ended_us is None:
            self._endless.add(unheard.run_id)
        cursor.execute(LAST_SOCKET, (unheard.run_id,))
        (last,) = cursor.fetchone() or (0,)
        whole = {"sid": ALL_SUBSCRIPTIONS, "markets": ALL_MARKETS, "cause": loss.cause}
        for conn in sockets_of(loss, max(last, self._connections)):
            role = role_of(conn)
            cursor.execute(DECLARE, {**unheard._asdict(), **whole, "conn": conn, "channel": role.channels[0]})
            metrics.GAPS.labels(role.name, loss.cause).inc(cursor.rowcount)


def unheard_by(loss: Loss, known: Mapping[int, int], written: Collection[int], refresh_us: int) -> Iterator[Unheard]:
    """Yield each run that may have received what was lost. `known` runs are in the database, with their recorded_until:
    rows that were on the disk since are all newer. What is `written` says more only after this.

    What runs claim is in the exchange's time, and a loss in this host's, which may be SLACK_US off either way.
    """
    runs = {**dict.fromkeys(written), **known}
    latest = max(known, default=None)
    ended_us: int | None = loss.until_us + SLACK_US + (refresh_us if loss.table in BOOK_TABLES else 0)
    if loss.table in JOURNALS:
        ended_us = None
    for run_id in sorted(runs):
        said_until_us = known.get(run_id, run_id)
        lost_us = said_until_us if loss.since_us is None else loss.since_us
        since_us = min(lost_us, loss.until_us) - SLACK_US
        is_going_on = run_id in written or run_id == latest
        has_said_too_much = loss.since_us is not None and said_until_us > since_us
        if run_id < loss.until_us and (is_going_on or has_said_too_much):
            yield Unheard(run_id, max(run_id - SLACK_US, since_us), ended_us)


def sockets_of(loss: Loss, connections: int) -> Sequence[int]:
    if loss.conn is not None:
        return (loss.conn,)
    if loss.table in BOOK_TABLES:
        return range(FIRST_BOOK_CONNECTION, connections + 1)
    every = range(1, connections + 1) if loss.table in JOURNALS else ()
    return SOCKETS.get(loss.table, every)
