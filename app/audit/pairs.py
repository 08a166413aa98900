"""Two snapshots of a market, one after the other, and what was recorded in between."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

import psycopg2.extensions
from psycopg2 import sql

from app.order_book import Levels
from app.postgres.connection import Connection

# Whether a book, rebuilt from a snapshot and the changes since, is the next snapshot: level by level.


class BookVerdict(Enum):
    EQUAL = "equal"
    EXPLAINED = "explained"  # they differ, and nobody claims to have heard everything in between
    FINDING = "finding"
    INCOMPARABLE = "incomparable"  # the market's clock began anew in between, or the market is over


class Difference(NamedTuple):
    """A level that stands otherwise than the recorded changes make it."""

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
    """A level with less than nothing is one too: a change is missing, though an empty level would look the same."""
    rebuilt = dict(base)
    for yes_side, price_e6, delta_e2 in changes:
        rebuilt[yes_side, price_e6] = rebuilt.get((yes_side, price_e6), 0) + delta_e2
    return [
        Difference(*level, rebuilt.get(level, 0), seen.get(level, 0))
        for level in sorted({*rebuilt, *seen})
        if rebuilt.get(level, 0) != seen.get(level, 0)
    ]


# Of the stream, since those carry a clock; the one before it is the last of any gatherer.
NEW = sql.SQL("""
    SELECT s.ingest_id, s.ticker, s.snapshot_ts AS to_ts, earlier.snapshot_ts AS from_ts
    FROM (
        SELECT * FROM orderbook_snapshots
        WHERE ingest_id > %(after)s AND source = 'ws' ORDER BY ingest_id LIMIT %(most)s
    ) AS s
    LEFT JOIN LATERAL (
        SELECT e.snapshot_ts FROM orderbook_snapshots AS e
        WHERE e.ticker = s.ticker AND e.snapshot_ts < s.snapshot_ts AND e.source = 'ws' AND e.clock >= 0
        ORDER BY e.snapshot_ts DESC LIMIT 1
    ) AS earlier ON s.clock >= 0
""")
FOUND = sql.SQL("""
    SELECT 0 AS ingest_id, ticker, to_ts, from_ts FROM audit_findings
    WHERE resolved_at IS NULL AND NOT is_explained
        AND checked_at < now() - %(pause)s AND found_at > now() - INTERVAL '7 days'
    ORDER BY checked_at LIMIT %(most)s
""")
# A snapshot holds exactly the changes up to its clock. Stamps of changes and of snapshots may differ a bit.
READ = sql.SQL("""
    WITH pairs AS MATERIALIZED ({pairs})
    SELECT
        p.ingest_id, p.ticker, p.from_ts, p.to_ts, b.clock, s.clock, b.received_at, s.received_at,
        coalesce(
            m.close_time <= s.snapshot_ts OR m.status IN ('determined', 'disputed', 'amended', 'finalized'), FALSE
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
# For a few pairs the indexes are the way, whatever statistics say of a table that grows by the day.
ALONG_THE_INDEXES = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off"
# Within one run of its clock a market's changes are in the order of their clocks, those of one clock happen at once,
# and a snapshot holds those before it and no other. Looked at is all that READ may have taken for changes in between.
BEGAN_ANEW = """
    SELECT EXISTS (
        SELECT FROM (
            SELECT exchange_ts, clock, lag(exchange_ts) OVER times AS last_ts, lag(clock) OVER times AS last_clock
            FROM orderbook_deltas
            WHERE ticker = %(ticker)s AND clock >= 0 AND NOT ts_missing
                AND exchange_ts BETWEEN %(from_ts)s - INTERVAL '1 minute' AND %(to_ts)s + INTERVAL '1 minute'
            WINDOW times AS (ORDER BY exchange_ts, clock)
        ) AS changes
        WHERE clock < last_clock OR (clock = last_clock AND exchange_ts > last_ts + INTERVAL '1 second')
            OR (clock <= %(from_clock)s AND exchange_ts > %(from_ts)s + INTERVAL '1 minute')
            OR (clock > %(from_clock)s AND exchange_ts < %(from_ts)s - INTERVAL '2 seconds')
            OR (clock <= %(to_clock)s AND exchange_ts > %(to_ts)s + INTERVAL '2 seconds')
    )
"""
# The changes between two clocks are in most cases those between two snapshots. Where clocks and times do not agree, it
# takes the whole definition of a book at a time.
COMES_OUT_EVEN = """
    SELECT becomes(earlier, later) FROM orderbook_snapshots AS earlier, orderbook_snapshots AS later
    WHERE earlier.ticker = %(ticker)s AND earlier.snapshot_ts = %(from_ts)s AND earlier.source = 'ws'
        AND later.ticker = %(ticker)s AND later.snapshot_ts = %(to_ts)s AND later.source = 'ws'
"""


class SnapshotPair(NamedTuple):
    ingest_id: int  # of the later snapshot
    ticker: str
    from_ts: datetime
    to_ts: datetime
    from_clock: int
    to_clock: int
    from_received_at: datetime
    to_received_at: datetime
    is_over: bool  # the market, when the later one was taken
    differences: list[Difference]
    is_emptied: bool


class AuditSnapshot(NamedTuple):
    """One that there may be nothing to compare with: it is the market's first, or carries no clock."""

    ingest_id: int
    received_at: datetime
    pair: SnapshotPair | None


def new_snapshots(connection: Connection, after: int, most: int) -> list[AuditSnapshot]:
    """In the order of their arrival."""
    return _read(connection, NEW, {"after": after, "most": most})


def pairs_found_earlier(connection: Connection, pause_seconds: float, most: int) -> list[SnapshotPair]:
    """That differed, without a hole that explains it, and were not looked at again for a while."""
    found = _read(connection, FOUND, {"pause": timedelta(seconds=pause_seconds), "most": most})
    return [snapshot.pair for snapshot in found if snapshot.pair]


def comes_out_even(cursor: psycopg2.extensions.cursor, pair: SnapshotPair) -> bool:
    """Whether the book at the time of the later snapshot is the later snapshot."""
    cursor.execute(COMES_OUT_EVEN, pair._asdict())
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
    book = levels_of(*seen)
    found = differences(levels_of(*base), zip(*changes, strict=True), book)
    return AuditSnapshot(ingest_id, received_at, SnapshotPair._make((*facts, found, not book)))
