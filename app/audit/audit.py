"""One round of the audit: compare production's new snapshots with the books rebuilt from recorded changes.

In: snapshots after the last audited one. Out: counts of verdicts, and rows of `audit_findings`. A difference that a
known hole explains is recorded as explained; it is a finding if a gatherer claims to have received everything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import psycopg2.extensions

from app.audit.pairs import (
    AuditSnapshot,
    BookVerdict,
    SnapshotPair,
    arrived_snapshots,
    clock_began_anew,
    comes_out_even,
    new_snapshots,
    orders_follow,
    pairs_explained_earlier,
    pairs_found_earlier,
)
from app.coverage.evidence import BOOKS, HeardPeriod, known_until_us, read_evidence, read_gatherers, read_subscriptions
from app.coverage.hours import judge_books
from app.coverage.intervals import moment_of, us_of
from app.normalize.values import MICROSECOND
from app.postgres.connection import Connection, claimed
from app.storage.arrivals import TOUCH_LOCK, is_disturbed, reach_of, tables_with_noted_compression

BATCH = 500
SHOWN_LEVELS = 50
# Production learns that a market has closed early after the registry has asked REST and the follower has copied the
# answer.
END_IS_KNOWN_WITHIN = timedelta(minutes=2)

PROGRESS = "SELECT ingest_id FROM audit_progress"
ADVANCE = """
    UPDATE audit_progress SET
        ingest_id = %(ingest_id)s, compared = compared + %(compared)s, equal = equal + %(equal)s,
        explained = explained + %(explained)s, incomparable = incomparable + %(incomparable)s
"""
FIND = """
    INSERT INTO audit_findings
        (ticker, from_ts, to_ts, from_clock, to_clock, is_explained, differing_levels, levels)
    VALUES (
        %(ticker)s, %(from_ts)s, %(to_ts)s, %(from_clock)s, %(to_clock)s, %(is_explained)s, %(count)s, %(levels)s
    )
    ON CONFLICT (ticker, to_ts, from_ts) DO UPDATE SET
        is_explained = excluded.is_explained, differing_levels = excluded.differing_levels, levels = excluded.levels,
        checked_at = now(), resolved_at = NULL
"""
RESOLVE = """
    UPDATE audit_findings SET resolved_at = now(), checked_at = now()
    WHERE ticker = %(ticker)s AND from_ts = %(from_ts)s AND to_ts = %(to_ts)s
"""
OPEN = """
    SELECT count(*) FROM audit_findings
    WHERE resolved_at IS NULL AND NOT is_explained AND found_at > now() - INTERVAL '30 days'
"""


class Audited(NamedTuple):
    """The result of one round."""

    verdicts: Mapping[BookVerdict, int]
    findings: list[SnapshotPair]
    through: datetime | None  # when the last snapshot was received; None: there was no new one
    has_more: bool


NOTHING = Audited({}, [], None, has_more=False)


def audit_new(connection: Connection, now: datetime, patience: timedelta, most: int = BATCH) -> Audited:
    """Compare the snapshots that arrived since the last round, up to the first one before which changes may still be
    missing. Return NOTHING while another process audits."""
    with claimed(connection, "auditing") as is_ours:
        return _audit_new(connection, now, patience, most) if is_ours else NOTHING


def _audit_new(connection: Connection, now: datetime, patience: timedelta, most: int) -> Audited:
    with connection:
        known = moment_of(known_until_us(read_gatherers(connection), us_of(now), patience // MICROSECOND))
    noted = tables_with_noted_compression(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(TOUCH_LOCK, ("orderbook_snapshots", "orderbook_snapshots"))
        cursor.execute(PROGRESS)
        (after,) = cursor.fetchone() or (0,)
        reaches = [reach_of(cursor, table) for table in ("orderbook_deltas", "orderbook_snapshots") if table in noted]
        arrived = arrived_snapshots(cursor, after, most, is_compressed="orderbook_snapshots" in noted)
        ripe = _while_known(new_snapshots(connection, arrived), known, now)
        judged = [(pair, _judge(cursor, connection, pair)) for snapshot in ripe if (pair := snapshot.pair)]
    # Compression may have hidden some of the rows: the next round looks again.
    if any(is_disturbed(connection, reach) for reach in reaches):
        return NOTHING
    verdicts = Counter(verdict for _, verdict in judged)
    if ripe:
        _conclude(connection, ripe[-1], judged, verdicts)
    findings = [pair for pair, verdict in judged if verdict is BookVerdict.FINDING]
    return Audited(verdicts, findings, ripe[-1].received_at if ripe else None, len(ripe) == most)


def _conclude(
    connection: Connection,
    last: AuditSnapshot,
    judged: list[tuple[SnapshotPair, BookVerdict]],
    verdicts: Mapping[BookVerdict, int],
) -> None:
    """In a transaction that sees what others have written since: coverage learns of findings, and of something else
    every second."""
    counts = {verdict.value: verdicts.get(verdict, 0) for verdict in BookVerdict}
    with connection, connection.cursor() as cursor:
        _note(cursor, judged)
        cursor.execute(ADVANCE, {"ingest_id": last.ingest_id, "compared": len(judged), **counts})


def audit_again(
    connection: Connection, pause_seconds: float, most: int = BATCH, *, are_explained_due: bool = True
) -> int:
    """Compare the open findings again, since rows and journals may arrive late; if they are due, also those that were
    explained by a hole that is none any more. Return how many are still open."""
    with claimed(connection, "auditing") as is_ours, connection, connection.cursor() as cursor:
        pairs = pairs_found_earlier(connection, pause_seconds, most) if is_ours else []
        if is_ours and are_explained_due:
            pairs += pairs_explained_earlier(connection, most)
        judged = [(pair, _judge(cursor, connection, pair)) for pair in pairs]
        _note(cursor, judged)
        for pair, verdict in judged:
            if verdict in {BookVerdict.EQUAL, BookVerdict.INCOMPARABLE}:
                cursor.execute(RESOLVE, pair._asdict())
        cursor.execute(OPEN)
        (still_open,) = cursor.fetchone() or (0,)
    return int(still_open)


def _while_known(snapshots: list[AuditSnapshot], known: datetime, now: datetime) -> list[AuditSnapshot]:
    """Return the snapshots before the first one that is too new. Later ones wait too: the progress is a single
    ingest_id."""
    ends_known = min(known, now - END_IS_KNOWN_WITHIN)
    for position, snapshot in enumerate(snapshots):
        if snapshot.received_at >= (ends_known if _may_have_ended(snapshot.pair) else known):
            return snapshots[:position]
    return snapshots


def _may_have_ended(pair: SnapshotPair | None) -> bool:
    return pair is not None and pair.is_emptied and not pair.is_over


def _judge(cursor: psycopg2.extensions.cursor, connection: Connection, pair: SnapshotPair) -> BookVerdict:
    if pair.to_clock < pair.from_clock:
        return BookVerdict.INCOMPARABLE
    if not pair.differences or comes_out_even(cursor, pair):
        return BookVerdict.EQUAL
    # The exchange announces no changes for what is left in the book of a market that has ended.
    if (pair.is_ended and not orders_follow(cursor, pair)) or clock_began_anew(cursor, pair):
        return BookVerdict.INCOMPARABLE
    return BookVerdict.EXPLAINED if _has_hole(connection, pair) else BookVerdict.FINDING


def _has_hole(connection: Connection, pair: SnapshotPair) -> bool:
    period = HeardPeriod(pair.from_received_at, pair.to_received_at)
    subscriptions = read_subscriptions(connection, period, pair.ticker).get(BOOKS, [])
    holes = judge_books(period.interval, subscriptions, read_evidence(connection, period), pair.ticker).holes
    # A gap ends for all books of a subscription when the last one was shown again. Of a book that was shown earlier,
    # nothing is missing since: a loss after that would have lasted until it was shown once more, which is the later
    # snapshot here. So a hole that began before the pair and ended within it explains nothing.
    since_us, until_us = period.interval
    return any(start_us > since_us or end_us >= until_us for start_us, end_us in holes)


def _note(cursor: psycopg2.extensions.cursor, judged: Iterable[tuple[SnapshotPair, BookVerdict]]) -> None:
    for pair, verdict in judged:
        if verdict in {BookVerdict.EXPLAINED, BookVerdict.FINDING}:
            levels = [difference._asdict() for difference in pair.differences[:SHOWN_LEVELS]]
            shown = {"count": len(pair.differences), "levels": msgspec.json.encode(levels).decode()}
            cursor.execute(FIND, {**pair._asdict(), **shown, "is_explained": verdict is BookVerdict.EXPLAINED})
