"""Query what the verdict depends on from production.

In: a function that runs a query and returns rows as dictionaries, as the admin service's and the command line's
connections do. Out: `StatusFacts`. Every query reads few rows, however long the record is.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extras import RealDictCursor

from app.audit.audit import OPEN
from app.postgres.connection import Connection
from app.settings import Settings
from app.status.verdict import (
    FailingCursor,
    GathererFacts,
    KnownHour,
    Outage,
    StatusFacts,
    StatusVerdict,
    Stretch,
    complete_stretch,
    known_stretch,
    verdict_of,
)

Rows = list[dict[str, Any]]
Ask = Callable[[str, Mapping[str, Any]], Rows]
ReadStretch = Callable[[], Stretch | None]

# A gatherer that nothing names is expected to record until production has not read it for this long.
EXPECTED = timedelta(days=7)
# How far back the record is looked at: no longer time is claimed to be complete.
LONGEST = timedelta(days=31)

GATHERERS = """
    SELECT DISTINCT ON (r.gatherer)
        now() AS now, r.gatherer AS name, r.run_id, r.recorded_until, r.delivered_until, c.contacted_at,
        r.ended_at IS NOT NULL AS has_ended
    FROM gatherer_runs AS r LEFT JOIN gatherer_contacts AS c USING (gatherer)
    ORDER BY r.gatherer, r.started_at DESC
"""
MARKETS = """
    SELECT count(DISTINCT s.ticker) AS markets
    FROM unnest(%(gatherers)s::TEXT[], %(runs)s::BIGINT[]) AS recording (gatherer, run_id)
    JOIN gatherer_subscriptions AS s USING (gatherer, run_id)
    WHERE s.ended_at IS NULL AND s.channel = 'orderbook_delta'
"""
# The known part of an hour ends where a market begins whose change is not judged yet. Only hours with changes that are
# not judged can have one.
HOURS = """
    SELECT
        h.hour,
        CASE WHEN c.changes = h.judged_changes THEN h.known_until
            ELSE greatest(h.hour, least(k.known_until, (
                SELECT min(u.since) FROM coverage_market_changes AS u
                WHERE u.number > h.judged_number AND u.since < h.hour + INTERVAL '1 hour' AND u.until > h.hour
            )))
        END AS known_until
    FROM coverage_hours AS h JOIN coverage_changes AS c USING (hour) JOIN coverage_known AS k USING (hour)
    WHERE h.hour > now() - %(longest)s
    ORDER BY h.hour
"""
BEGAN = "SELECT min(started_at) AS began_at FROM gatherer_runs"
LAST_HOLE = """
    SELECT until FROM coverage_holes
    WHERE hour >= %(from)s AND since < %(to)s AND kind <> 'opening' ORDER BY hour DESC, until DESC LIMIT 1
"""
HAS_OPENINGS = """
    SELECT EXISTS (
        SELECT FROM coverage_holes WHERE hour >= %(from)s AND until > %(from)s AND since < %(to)s AND kind = 'opening'
    ) AS has_openings
"""
OUTAGE = """
    WITH outages AS (
        SELECT hour, channel, ticker, since, until FROM coverage_holes
        WHERE hour > now() - INTERVAL '3 hours' AND until > now() - INTERVAL '1 hour' AND kind = 'outage'
    )
    SELECT last.*, (SELECT count(DISTINCT ticker) FROM outages WHERE ticker <> '') AS markets
    FROM outages AS last ORDER BY last.ticker = '' DESC, last.until DESC LIMIT 1
"""
FAILING = """
    SELECT gatherer, table_name, coalesce(failure, '') AS failure FROM sync_cursors
    WHERE failing_since IS NOT NULL ORDER BY failing_since LIMIT 1
"""
COUNTS = f"""
    SELECT
        ({OPEN}) AS findings,
        (
            SELECT count(*) FROM exports WHERE failure IS NOT NULL
                AND lake_id = coalesce((SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL), lake_id)
        ) AS failing_exports,
        (SELECT count(*) FROM quarantine) AS quarantined,
        (SELECT judged_until FROM quote_audit_progress) AS quotes_until,
        now() AS now
"""  # noqa: S608


def read_verdict(ask: Ask, named: Collection[str], complete: ReadStretch | None = None) -> StatusVerdict:
    """Return the verdict. `named` are the gatherers that are expected to record; empty: all that were read lately.

    `complete` returns what read_complete() returned lately: with a month of openings it is the expensive part.
    """
    return verdict_of(read_facts(ask, named, complete or (lambda: read_complete(ask))))


def named_gatherers(settings: Settings) -> list[str]:
    """Return the gatherers that the settings name: by their ops ports, otherwise by their databases."""
    by_dsn = settings.gatherer_dsns.by_gatherer() if settings.gatherer_dsns else {}
    return sorted(settings.ops_ports() or by_dsn)


def read_facts(ask: Ask, named: Collection[str], complete: ReadStretch) -> StatusFacts:
    (counts,) = ask(COUNTS, {})
    runs = {row["name"]: row for row in ask(GATHERERS, {})}
    gatherers = [_gatherer(name, runs.get(name)) for name in _expected(runs, named, counts["now"])]
    facts = StatusFacts(
        now=counts["now"],
        gatherers=gatherers,
        complete=complete(),
        outage=next((Outage(**row) for row in ask(OUTAGE, {})), None),
        failing=next((FailingCursor(*row.values()) for row in ask(FAILING, {})), None),
        findings=counts["findings"],
        quotes_until=counts["quotes_until"],
        failing_exports=counts["failing_exports"],
        quarantined=counts["quarantined"],
    )
    recording = [each.name for each in facts.recording()]
    if not recording:
        return facts
    asked = {"gatherers": recording, "runs": [runs[name]["run_id"] for name in recording]}
    return facts._replace(markets=ask(MARKETS, asked)[0]["markets"])


def _expected(runs: Mapping[str, Mapping[str, Any]], named: Collection[str], now: datetime) -> list[str]:
    if named:
        return sorted(named)
    return [
        name
        for name, run in sorted(runs.items())
        if max(run["recorded_until"], run["contacted_at"] or run["recorded_until"]) > now - EXPECTED
    ]


def _gatherer(name: str, run: Mapping[str, Any] | None) -> GathererFacts:
    if run is None:
        return GathererFacts(name)
    times = (run["recorded_until"], run["delivered_until"], run["contacted_at"])
    return GathererFacts(name, *times, has_ended=run["has_ended"])


def read_complete(ask: Ask) -> Stretch | None:
    """Return the time for which the record is complete, or None if nothing is known."""
    ((began_at,),) = (row.values() for row in ask(BEGAN, {}))
    known = known_stretch([KnownHour(**row) for row in ask(HOURS, {"longest": LONGEST})])
    if known is None or began_at is None:
        return None
    period = {"from": known.since, "to": known.until}
    ends = [began_at, *(row["until"] for row in ask(LAST_HOLE, period))]
    complete = complete_stretch(known, max(ends), has_openings=False)
    (openings,) = ask(HAS_OPENINGS, {"from": complete.since, "to": complete.until})
    return complete._replace(has_openings=openings["has_openings"])


def asked_over(connection: Connection) -> Ask:
    """Return the function that runs queries on a connection of its own."""

    def ask(query: str, parameters: Mapping[str, Any]) -> Rows:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, parameters)
            return [dict(row) for row in cursor.fetchall()]

    return ask
