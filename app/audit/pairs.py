"""Pairs of successive snapshots of a market, and the changes that were recorded between them.

In: rows of production, joined by one query. Out: for each pair, the levels at which the rebuilt book differs from the
later snapshot. Two checks follow if there are any: the full definition of a book at a time, and whether the clock
restarted.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection
from app.storage.arrivals import leave_out_compressed, show_compressed
from kalshi_data.order_book import Levels

# Comparison of a book, rebuilt from a snapshot and the changes since, with the next snapshot, level by level.


class BookVerdict(Enum):
    EQUAL = "equal"
    EXPLAINED = "explained"  # they differ, and no gatherer claims to have received everything in between
    FINDING = "finding"
    INCOMPARABLE = "incomparable"  # the market's clock restarted in between, or the market is over


class Difference(NamedTuple):
    """A level whose size in the snapshot is not what the recorded changes lead to."""

    yes_side: bool
    price_e6: int
    rebuilt_e2: int
    seen_e2: int


def levels_of(
    yes_prices_e6: Sequence[int], yes_sizes_e2: Sequence[int], no_prices_e6: Sequence[int], no_sizes_e2: Sequence[int]
) -> Levels:
    sides = ((True, yes_prices_e6, yes_sizes_e2), (False, no_prices_e6, no_sizes_e2))
    return {
        (yes_side, price_e6): size_e2
        for yes_side, prices_e6, sizes_e2 in sides
        for price_e6, size_e2 in zip(prices_e6, sizes_e2, strict=True)
    }


def differences(base: Levels, changes: Iterable[tuple[bool, int, int]], seen: Levels) -> list[Difference]:
    """Return the differing levels. A level below zero is one too, although it would be shown as empty: a change is
    missing."""
    rebuilt = dict(base)
    for yes_side, price_e6, delta_e2 in changes:
        rebuilt[yes_side, price_e6] = rebuilt.get((yes_side, price_e6), 0) + delta_e2
    return [
        Difference(*level, rebuilt.get(level, 0), seen.get(level, 0))
        for level in sorted({*rebuilt, *seen})
        if rebuilt.get(level, 0) != seen.get(level, 0)
    ]


# New snapshots are the stream's, since only these carry a clock.
ARRIVED = """
    SELECT ingest_id, ticker, snapshot_ts, clock FROM orderbook_snapshots
    WHERE ingest_id > %(after)s AND source = 'ws' ORDER BY ingest_id LIMIT %(most)s
"""
# The one compared with is the last before it, of any gatherer.
NEW = sql.SQL("""
    SELECT s.ingest_id, s.ticker, s.to_ts, earlier.snapshot_ts AS from_ts
    FROM unnest(%(ids)s::BIGINT [], %(tickers)s::TEXT [], %(times)s::TIMESTAMPTZ [], %(clocks)s::BIGINT [])
        AS s (ingest_id, ticker, to_ts, clock)
    LEFT JOIN LATERAL (
        SELECT e.snapshot_ts FROM orderbook_snapshots AS e
        WHERE e.ticker = s.ticker AND e.snapshot_ts < s.to_ts AND e.source = 'ws' AND e.clock >= 0
        ORDER BY e.snapshot_ts DESC LIMIT 1
    ) AS earlier ON s.clock >= 0
""")
FOUND = sql.SQL("""
    SELECT 0 AS ingest_id, ticker, to_ts, from_ts FROM audit_findings
    WHERE resolved_at IS NULL AND NOT is_explained AND quote_ts IS NULL
        AND checked_at < now() - %(pause)s AND found_at > now() - INTERVAL '7 days'
    ORDER BY checked_at LIMIT %(most)s
""")
# A gatherer that was away may have heard what nobody else had: the hole that explained a difference is none then, and
# the hours count as complete.
UNEXPLAINED = sql.SQL("""
    SELECT 0 AS ingest_id, f.ticker, f.to_ts, f.from_ts FROM audit_findings AS f
    WHERE f.resolved_at IS NULL AND f.is_explained AND f.quote_ts IS NULL AND f.found_at > now() - INTERVAL '7 days'
        AND f.from_ts >= (SELECT books_since FROM coverage_horizon)
        AND NOT EXISTS (
            SELECT FROM coverage AS c
            WHERE c.ticker = f.ticker AND c.channel = 'orderbook_delta'
                AND c.hour > f.from_ts - INTERVAL '1 hour' AND c.hour < f.to_ts
                AND c.holes && tstzmultirange(tstzrange(f.from_ts, f.to_ts))
        )
    ORDER BY f.checked_at LIMIT %(most)s
""")
# A snapshot holds exactly the changes up to its clock. The times of changes and of snapshots may differ slightly, and a
# snapshot without a time of its own may be stamped before a close that it shows.
READ = sql.SQL("""
    WITH pairs AS MATERIALIZED ({pairs})
    SELECT
        p.ingest_id, p.ticker, p.from_ts, p.to_ts, b.clock, s.clock, b.received_at, s.received_at,
        coalesce(
            m.close_time <= s.snapshot_ts + INTERVAL '10 seconds'
            OR m.status IN ('closed', 'determined', 'disputed', 'amended', 'finalized'),
            FALSE
        ),
        b.yes_prices_e6, b.yes_sizes_e2, b.no_prices_e6, b.no_sizes_e2,
        s.yes_prices_e6, s.yes_sizes_e2, s.no_prices_e6, s.no_sizes_e2, c.sides, c.prices_e6, c.changes_e2
    FROM pairs AS p
    JOIN orderbook_snapshots AS s ON s.snapshot_ts = p.to_ts AND s.ticker = p.ticker AND s.source = 'ws'
    LEFT JOIN orderbook_snapshots AS b ON b.snapshot_ts = p.from_ts AND b.ticker = p.ticker AND b.source = 'ws'
    LEFT JOIN markets AS m ON m.ticker = p.ticker
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(yes_side), '{{}}') AS sides, coalesce(array_agg(price_e6), '{{}}') AS prices_e6,
            coalesce(array_agg(change_e2), '{{}}') AS changes_e2
        FROM (
            SELECT d.yes_side, d.price_e6, sum(d.delta_e2)::BIGINT AS change_e2 FROM orderbook_deltas AS d
            WHERE d.ticker = p.ticker AND d.clock > b.clock AND d.clock <= s.clock
                AND d.exchange_ts BETWEEN p.from_ts - INTERVAL '1 minute' AND p.to_ts + INTERVAL '1 minute'
            GROUP BY d.yes_side, d.price_e6
        ) AS changed
    ) AS c
    ORDER BY p.ingest_id
""")
# For a few pairs the indexes are best, whatever statistics say: they lag behind a table that grows daily.
ALONG_THE_INDEXES = """
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;
    SET LOCAL max_parallel_workers_per_gather = 0
"""
# The changes of a market from a minute before until a minute after two times, each with the one before it.
CLOCKED_CHANGES = """
    SELECT exchange_ts, clock, lag(exchange_ts) OVER times AS last_ts, lag(clock) OVER times AS last_clock
    FROM orderbook_deltas
    WHERE ticker = %(ticker)s AND clock >= 0 AND NOT ts_missing
        AND exchange_ts BETWEEN %({since})s - INTERVAL '1 minute' AND %({until})s + INTERVAL '1 minute'
    WINDOW times AS (ORDER BY exchange_ts, clock)
"""
# Within one run of its clock, a market's changes are ordered by their clocks, the changes of one clock happen at the
# same time, and a snapshot holds exactly the changes up to its clock. A violation in the time span of READ shows a
# restart.
BEGAN_ANEW = f"""
    SELECT EXISTS (
        SELECT FROM ({CLOCKED_CHANGES.format(since="from_ts", until="to_ts")}) AS changes
        WHERE clock < last_clock OR (clock = last_clock AND exchange_ts > last_ts + INTERVAL '1 second')
            OR (clock <= %(from_clock)s AND exchange_ts > %(from_ts)s + INTERVAL '1 minute')
            OR (clock > %(from_clock)s AND exchange_ts < %(from_ts)s - INTERVAL '2 seconds')
            OR (clock <= %(to_clock)s AND exchange_ts > %(to_ts)s + INTERVAL '2 seconds')
    )
"""  # noqa: S608 - constants
# A market's status may be of a later time than the snapshot: whoever places an order shows that it was not over yet.
ORDERS_FOLLOW = """
    SELECT EXISTS (
        SELECT FROM orderbook_deltas
        WHERE ticker = %(ticker)s AND delta_e2 > 0 AND exchange_ts > %(to_ts)s + INTERVAL '1 minute'
    )
"""
# After a close, connections show the empty book within seconds of each other.
EMPTIED_WITHIN = timedelta(minutes=1)
# In most cases the changes between two clocks are the changes between the two snapshots. Where clocks and times
# disagree, only the full definition of a book at a time decides.
COMES_OUT_EVEN = """
    SELECT becomes(earlier, later) FROM orderbook_snapshots AS earlier, orderbook_snapshots AS later
    WHERE earlier.ticker = %(ticker)s AND earlier.snapshot_ts = %(from_ts)s AND earlier.source = 'ws'
        AND later.ticker = %(ticker)s AND later.snapshot_ts = %(to_ts)s AND later.source = 'ws'
"""


class SnapshotPair(NamedTuple):
    """Two successive snapshots of a market, and the levels at which the rebuilt book differs from the later one."""

    ingest_id: int  # the later snapshot's
    ticker: str
    from_ts: datetime
    to_ts: datetime
    from_clock: int
    to_clock: int
    from_received_at: datetime
    to_received_at: datetime
    is_over: bool  # whether the market was over when the later snapshot was taken
    differences: list[Difference]
    was_empty: bool
    is_empty: bool

    @property
    def is_emptied(self) -> bool:
        """Return whether the later book is empty although the recorded changes do not lead there."""
        return self.is_empty and bool(self.differences)

    @property
    def is_ended(self) -> bool:
        """Return whether the market is over and one of the books was emptied for that."""
        is_shown_later = self.was_empty and self.to_ts - self.from_ts < EMPTIED_WITHIN
        return self.is_over and (self.is_empty or is_shown_later)


class AuditSnapshot(NamedTuple):
    """A new snapshot, and the pair that it ends. There is no pair if it is the market's first, or carries no clock."""

    ingest_id: int
    received_at: datetime
    pair: SnapshotPair | None


class ArrivedSnapshot(NamedTuple):
    ingest_id: int
    ticker: str
    snapshot_ts: datetime
    clock: int


def arrived_snapshots(
    cursor: psycopg2.extensions.cursor, after: int, most: int, *, is_compressed: bool
) -> list[ArrivedSnapshot]:
    """Return the next snapshots after this ingest_id, in the order of their arrival."""
    cursor.execute(ALONG_THE_INDEXES)
    if is_compressed:
        leave_out_compressed(cursor, "orderbook_snapshots", after + 1)
    cursor.execute(ARRIVED, {"after": after, "most": most})
    arrived = [ArrivedSnapshot(*row) for row in cursor]
    if is_compressed:
        # The snapshots before them, and the changes in between, may be compressed.
        show_compressed(cursor)
    return arrived


def new_snapshots(connection: Connection, arrived: Sequence[ArrivedSnapshot]) -> list[AuditSnapshot]:
    """Return these snapshots, each with the pair that it ends."""
    columns = zip(*arrived, strict=True)
    ids, tickers, times, clocks = map(list, columns) if arrived else ([], [], [], [])
    return _read(connection, NEW, {"ids": ids, "tickers": tickers, "times": times, "clocks": clocks})


def pairs_found_earlier(connection: Connection, pause_seconds: float, most: int) -> list[SnapshotPair]:
    """Return the open findings without an explanation that were not checked again within the pause."""
    found = _read(connection, FOUND, {"pause": timedelta(seconds=pause_seconds), "most": most})
    return [snapshot.pair for snapshot in found if snapshot.pair]


def pairs_explained_earlier(connection: Connection, most: int) -> list[SnapshotPair]:
    """Return findings that were explained by a hole that coverage does not list any more."""
    found = _read(connection, UNEXPLAINED, {"most": most})
    return [snapshot.pair for snapshot in found if snapshot.pair]


def comes_out_even(cursor: psycopg2.extensions.cursor, pair: SnapshotPair) -> bool:
    """Return whether the book at the time of the later snapshot equals the later snapshot."""
    cursor.execute(COMES_OUT_EVEN, pair._asdict())
    return cursor.fetchone() == (True,)


def orders_follow(cursor: psycopg2.extensions.cursor, pair: SnapshotPair) -> bool:
    """Return whether orders were still placed after the later snapshot."""
    cursor.execute(ORDERS_FOLLOW, pair._asdict())
    return cursor.fetchone() == (True,)


def clock_began_anew(cursor: psycopg2.extensions.cursor, pair: SnapshotPair) -> bool:
    cursor.execute(BEGAN_ANEW, pair._asdict())
    return cursor.fetchone() == (True,)


def _read(connection: Connection, pairs: sql.SQL, parameters: dict[str, Any]) -> list[AuditSnapshot]:
    with connection.cursor() as cursor:
        cursor.execute(ALONG_THE_INDEXES)
        cursor.execute(READ.format(pairs=pairs), parameters)
        return [_snapshot(row) for row in cursor]


def _snapshot(row: Sequence[Any]) -> AuditSnapshot:
    facts, base, seen, changes = row[:9], row[9:13], row[13:17], row[17:]
    ingest_id, received_at = facts[0], facts[7]
    if base[0] is None or seen[0] is None:
        return AuditSnapshot(ingest_id, received_at, None)
    before, book = levels_of(*base), levels_of(*seen)
    found = differences(before, zip(*changes, strict=True), book)
    return AuditSnapshot(ingest_id, received_at, SnapshotPair._make((*facts, found, not before, not book)))
