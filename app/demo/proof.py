"""Compare production and the lake with the simulator's truth, once all are complete.

In: the truth folder, production, the lake's ledger. Out: evidence for the summary.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path

from psycopg2 import sql

from app.coverage.intervals import Intervals, moment_of, union, us_of
from app.demo.platform import Platform
from app.demo.processes import ask, wait_until
from app.demo.summary import Archived, Evidence, Freshness, Subject, TrueHole, by_subject, true_holes
from app.errors import OperatorError
from app.postgres.connection import Connection, connected, value_of
from app.postgres.dsn import Dsn
from app.simulator.check.check import SimCheck
from app.simulator.check.databases import ProductionRows
from app.simulator.check.matcher import Delivered
from app.simulator.truth import TruthReader
from app.storage.tables import PRODUCTION_TABLES

# Export to the lake: requested through the admin service, as an operator would, and counted.

ARCHIVED_SECONDS = 60.0
# Hours that ended before this were exported without a request.
EXPORTED_BY_ITSELF = timedelta(hours=2)

EXPORTED = """
    SELECT count(*), count(verified_at), coalesce(sum(row_count), 0)::BIGINT FROM exports
    WHERE table_name = ANY(%s) AND hour > %s - INTERVAL '1 hour'
"""
RECORDED = sql.SQL("SELECT count(*) FROM {table} WHERE {time} >= date_bin('1 hour', %s, 'epoch')")
JOB = "SELECT state, outcome FROM jobs WHERE job_id = %s"


def archive(platform: Platform, since_us: int) -> None:
    """Export, and return when everything recorded since is in the lake and has been read back."""
    now = datetime.now(UTC)
    since = max(moment_of(since_us), now - EXPORTED_BY_ITSELF)
    times = {"from": since.isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    for job_id in [_ask_for(platform, {**times, "table": table.name}) for table in PRODUCTION_TABLES]:
        wait_until(partial(_why_not_done, platform, job_id), ARCHIVED_SECONDS)
    wait_until(lambda: _why_not_whole(platform, since_us), ARCHIVED_SECONDS)


def archived_since(connection: Connection, since_us: int) -> Archived:
    """Return what was exported since, and how many rows production has."""
    since = moment_of(since_us)
    recorded = 0
    for table in PRODUCTION_TABLES:
        names = {"table": sql.Identifier(table.name), "time": sql.Identifier(table.time_column)}
        recorded += value_of(connection, RECORDED.format(**names), (since,))
    with connection.cursor() as cursor:
        cursor.execute(EXPORTED, ([table.name for table in PRODUCTION_TABLES], since))
        ((objects, verified, rows),) = cursor.fetchall()
    return Archived(objects, verified, rows, recorded)


def _ask_for(platform: Platform, parameters: dict[str, str]) -> int:
    answer = ask(f"{platform.admin_url}/admin/jobs/export", parameters)
    if answer is None or answer.status != HTTPStatus.ACCEPTED:
        raise OperatorError(
            "The demo's admin service did not accept a job.", str(answer), f"see {platform.admin.log_file}."
        )
    return int(answer.body["job_id"])


def _why_not_done(platform: Platform, job_id: int) -> str | None:
    platform.exporter.check()
    with connected(platform.production) as connection, connection.cursor() as cursor:
        cursor.execute(JOB, (job_id,))
        ((state, outcome),) = cursor.fetchall()
    if state == "failed":
        raise OperatorError("The demo's exporter failed.", outcome, f"see {platform.exporter.log_file}.")
    return None if state == "done" else f"The job {job_id} is {state}."


def _why_not_whole(platform: Platform, since_us: int) -> str | None:
    """Return why the lake is incomplete, or None. The exporter may be busy with an hour that has ended."""
    platform.exporter.check()
    with connected(platform.production) as connection:
        archived = archived_since(connection, since_us)
    return None if archived.is_whole else f"Not all is in the lake: {archived}."


# Holes that were repaired with fetched trades count too: the trades were not received in time, and that is declared.
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
# True until coverage is known up to this time of the exchange.
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
    """Return why it is not known yet what was received until then, or None."""
    with connected(production) as connection:
        is_unknown = value_of(connection, UNJUDGED, {"until": moment_of(until_us)})
    return "It is not known yet who heard the last of it." if is_unknown else None


def why_not_judged(production: Dsn, since_us: int) -> str | None:
    """Return why coverage is out of date, or None."""
    with connected(production) as connection:
        is_stale = value_of(connection, STALE, (moment_of(since_us),))
    return "Coverage has not been judged since the last was learnt." if is_stale else None


def evidence_of(truth: Path, production: Dsn, ready_us: int) -> Evidence:
    """Return all evidence of a run, from one snapshot of production."""
    reader = TruthReader(truth)
    with connected(production) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        report = SimCheck(reader, ProductionRows(connection, reader.header.start_us)).run()
        delivered = Delivered(reader)
        return Evidence(
            events=reader.count(),
            delivered=sum(ordinal in delivered for ordinal in range(reader.count())),
            report=report,
            ready_us=ready_us,
            true_holes=true_holes_since(reader, delivered, ready_us),
            declared=declared_holes(connection, ready_us),
            freshness=_freshness(connection, ready_us),
            archived=archived_since(connection, reader.header.start_us),
            audit_findings=value_of(connection, FINDINGS, (moment_of(reader.header.start_us),)),
        )


def true_holes_since(reader: TruthReader, delivered: Delivered, ready_us: int) -> list[TrueHole]:
    """Return the intervals in which changes were sent to no gatherer."""
    header = reader.header
    catalog = header.catalog()
    return list(true_holes(reader.changes(), delivered, lru_cache(maxsize=None)(catalog.ticker), ready_us))


def declared_holes(connection: Connection, since_us: int) -> dict[Subject, Intervals]:
    """Return the declared holes by subject, merged."""
    with connection.cursor() as cursor:
        cursor.execute(DECLARED, (moment_of(since_us),))
        rows = ((channel, ticker, us_of(start), us_of(end)) for channel, ticker, start, end in cursor)
        return {subject: union(intervals) for subject, intervals in by_subject(rows).items()}


def _freshness(connection: Connection, since_us: int) -> Freshness:
    p50_ms, p99_ms = value_of(connection, FRESHNESS, (moment_of(since_us),)) or (None, None)
    return Freshness(*(None if each is None else float(each) for each in (p50_ms, p99_ms)))
