"""Production against the truth, once both are complete."""

from functools import lru_cache
from pathlib import Path

from app.coverage.intervals import Intervals, union
from app.coverage.moments import moment_of, us_of
from app.demonstration.archiving import archived_since
from app.demonstration.holes import Hole, Subject, by_subject, true_holes
from app.demonstration.summary import Evidence, Freshness
from app.postgres.connection import Connection, connected, value_of
from app.postgres.dsn import Dsn
from app.simulator.catalog import Catalog
from app.simulator.check.check import Check
from app.simulator.check.delivered import Delivered
from app.simulator.check.production import Production
from app.simulator.truth.reader import TruthReader

# Trades that were fetched afterwards were not heard either, and it is said.
DECLARED = """
    SELECT channel, ticker, lower(unheard), upper(unheard) FROM coverage, unnest(holes + repaired) AS unheard
    WHERE hour > %s - INTERVAL '1 hour'
"""
FRESHNESS = """
    SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY round(extract(epoch FROM pg_xact_commit_timestamp(xmin) - exchange_ts) * 1000, 1)
    )
    FROM orderbook_deltas WHERE exchange_ts >= %s AND NOT ts_missing
"""
FINDINGS = """
    SELECT count(*) FROM audit_findings WHERE resolved_at IS NULL AND NOT is_explained AND to_ts >= %s
"""
# Up to a moment of the exchange it is known and judged who heard what.
UNJUDGED = """
    SELECT NOT EXISTS (SELECT FROM coverage_hours WHERE known_until >= least(%(until)s, hour + INTERVAL '1 hour')
        AND hour <= %(until)s AND %(until)s < hour + INTERVAL '1 hour')
"""
STALE = """
    SELECT EXISTS (
        SELECT FROM coverage_hours JOIN coverage_changes USING (hour)
        WHERE changes <> judged_changes AND hour > %s - INTERVAL '1 hour'
    )
"""


def why_not_known(production: Dsn, until_us: int) -> str | None:
    with connected(production) as connection:
        is_unknown = value_of(connection, UNJUDGED, {"until": moment_of(until_us)})
    return "It is not known yet who heard the last of it." if is_unknown else None


def why_not_judged(production: Dsn, since_us: int) -> str | None:
    with connected(production) as connection:
        is_stale = value_of(connection, STALE, (moment_of(since_us),))
    return "Coverage has not been judged since the last was learnt." if is_stale else None


def evidence_of(truth: Path, production: Dsn, ready_us: int) -> Evidence:
    reader = TruthReader(truth)
    with connected(production) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        report = Check(reader, Production(connection, reader.header.start_us)).run()
        delivered = Delivered(reader)
        return Evidence(
            events=reader.count(),
            delivered=sum(ordinal in delivered for ordinal in range(reader.count())),
            report=report,
            ready_us=ready_us,
            true_holes=_true_holes(reader, delivered, ready_us),
            declared=_declared(connection, ready_us),
            freshness=_freshness(connection, ready_us),
            archived=archived_since(connection, reader.header.start_us),
            audit_findings=value_of(connection, FINDINGS, (moment_of(reader.header.start_us),)),
        )


def _true_holes(reader: TruthReader, delivered: Delivered, ready_us: int) -> list[Hole]:
    header = reader.header
    catalog = Catalog(header.seed, header.markets, header.start_us, whole_cents=header.whole_cents)
    return list(true_holes(reader.changes(), delivered, lru_cache(maxsize=None)(catalog.ticker), ready_us))


def _declared(connection: Connection, since_us: int) -> dict[Subject, Intervals]:
    with connection.cursor() as cursor:
        cursor.execute(DECLARED, (moment_of(since_us),))
        rows = ((channel, ticker, us_of(start), us_of(end)) for channel, ticker, start, end in cursor)
        return {subject: union(intervals) for subject, intervals in by_subject(rows).items()}


def _freshness(connection: Connection, since_us: int) -> Freshness:
    p50_ms, p99_ms = value_of(connection, FRESHNESS, (moment_of(since_us),)) or (None, None)
    return Freshness(*(None if each is None else float(each) for each in (p50_ms, p99_ms)))
