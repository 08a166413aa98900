"""The panels of the status page: the values that each shows, and how often it refreshes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from admin.api.gatherers import Gatherers
from admin.api.status import ReadVerdict
from admin.pages.coverage import CHANNEL_NAMES, CHANNELS, bands, cells_until
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from app.subscriptions.interface import OPEN

DAY_HOURS = 24


class MessageRates:
    """Rates of counters that are read irregularly: the growth per second since the previous read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def of(self, name: str, total: int) -> float | None:
        """Return the rate. Return None on the first read, or if the counter has restarted."""
        now = self._clock()
        when, before = self._last.get(name, (now, total))
        self._last[name] = (now, total)
        return (total - before) / (now - when) if now > when and total >= before else None


RUNS = """
    SELECT DISTINCT ON (gatherer) gatherer, started_at, recorded_until, delivered_until, ended_at
    FROM gatherer_runs ORDER BY gatherer, started_at DESC
"""
CURSORS = """
    SELECT gatherer, table_name, min(received_through) AS received_through, sum(rows_read) AS rows_read,
        sum(restarts) AS restarts, min(failing_since) AS failing_since, max(failure) AS failure,
        extract(epoch FROM now() - max(updated_at)) AS idle_seconds
    FROM sync_cursors WHERE rows_read > 0 OR failing_since IS NOT NULL
    GROUP BY gatherer, table_name ORDER BY table_name, gatherer
"""
HOLES = """
    SELECT hour, channel, ticker, since, until, repaired_by, extract(epoch FROM until - since)::FLOAT AS seconds
    FROM coverage_holes WHERE hour > now() - INTERVAL '7 days' AND kind = 'outage'
    ORDER BY hour DESC, ticker, since DESC LIMIT 10
"""
FINDINGS = """
    SELECT
        ticker, from_ts, to_ts, is_explained, differing_levels, is_lasting, quote_ts IS NOT NULL AS is_by_quote,
        extract(epoch FROM least(to_ts, greatest(now(), from_ts)) - from_ts)::FLOAT AS seconds
    FROM audit_findings WHERE resolved_at IS NULL ORDER BY is_explained, found_at DESC LIMIT 10
"""
AUDIT = """
    SELECT
        p.compared, p.equal, p.explained, p.incomparable, closed, unproven,
        q.compared AS quotes, q.equal AS equal_quotes, q.judged_until AS quotes_until,
        (SELECT count(*) FROM book_proofs WHERE doubted_at IS NOT NULL) AS doubted,
        (SELECT count(*) FROM audit_findings WHERE resolved_at IS NULL AND NOT is_explained) AS unexplained
    FROM audit_progress AS p CROSS JOIN quote_audit_progress AS q
    CROSS JOIN unproven_ends(now() - INTERVAL '1 hour', now())
"""
STORAGE = """
    SELECT table_name, count(*) AS chunks, sum(bytes)::BIGINT AS bytes, min(range_start) AS since
    FROM chunked_tables CROSS JOIN LATERAL chunks(table_name) GROUP BY table_name ORDER BY table_name
"""
DATABASE = """
    SELECT pg_database_size(current_database()) AS bytes, (SELECT count(*) FROM quarantine) AS quarantined,
        (SELECT count(*) FROM differing_trades) AS differing
"""
EXPORTS = """
    SELECT table_name, max(hour) AS hour, count(*) FILTER (WHERE verified_at IS NULL) AS unverified,
        count(failure) AS failing, sum(row_count)::BIGINT AS row_count
    FROM exports WHERE lake_id = coalesce((SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL), lake_id)
    GROUP BY table_name ORDER BY table_name
"""

Values = dict[str, Any]


class Panel(NamedTuple):
    """One part of the status page. `values` are what its template shows."""

    name: str
    title: str
    every_seconds: int
    values: Callable[[], Values]


def panels_of(database: RequestDatabase, gatherers: Gatherers, verdict: ReadVerdict) -> dict[str, Panel]:
    rates = MessageRates()

    def of(name: str, title: str, every_seconds: int, values: Callable[[], Values]) -> Panel:
        # At most half of the panel's period: viewers share the queries, and no refresh shows the previous values again.
        return Panel(name, title, every_seconds, TtlCache(values, min(every_seconds, 30) / 2))

    panels = (
        # It has a cache already, which it shares with the API.
        Panel("headline", "Is everything all right?", 5, lambda: {"verdict": verdict()}),
        of("gatherers", "Gatherers", 5, lambda: _gatherers(database, gatherers, rates)),
        of("coverage", "Coverage of the last 24 hours", 30, lambda: _coverage(database)),
        of("holes", "Outages of the last 7 days", 30, lambda: _holes(database)),
        of("audit", "Proof of the books", 30, lambda: _audit(database)),
        of("production", "Merged into production", 5, lambda: _production(database)),
        of("storage", "Storage", 60, lambda: _storage(database)),
    )
    return {panel.name: panel for panel in panels}


def _gatherers(database: RequestDatabase, gatherers: Gatherers, rates: MessageRates) -> Values:
    runs = {run["gatherer"]: run for run in database.dicts(RUNS)}
    ready = {said.gatherer: said for said in gatherers.ready()}
    polled = {said.gatherer: said.body.get("polling", []) for said in gatherers.polling()}
    sockets = {said.gatherer: said for said in gatherers.connections()}
    shown = []
    for name in sorted({*runs, *ready}):
        connections = sockets[name].body.get("connections", []) if name in sockets else []
        shown.append(
            {
                "name": name,
                "run": runs.get(name),
                "ready": ready.get(name),
                "connected": sum(each["state"] == OPEN for each in connections),
                "connections": len(connections),
                "in_doubt": sum(each["in_doubt"] for each in connections),
                "oldest_seconds": max((each["age_seconds"] or 0 for each in connections), default=None),
                "polled": polled.get(name, []),
                "rate": rates.of(name, sum(each["messages"] for each in connections)) if connections else None,
            }
        )
    return {"gatherers": shown}


def _production(database: RequestDatabase) -> Values:
    tables: dict[str, dict[str, Any]] = {}
    for cursor in database.dicts(CURSORS):
        tables.setdefault(cursor["table_name"], {})[cursor["gatherer"]] = cursor
    return {"tables": tables, "gatherers": sorted({name for cursors in tables.values() for name in cursors})}


def _coverage(database: RequestDatabase) -> Values:
    cells = cells_until(database, datetime.now(UTC), DAY_HOURS, CHANNELS)
    return {"bands": bands(cells), "channels": CHANNELS}


def _holes(database: RequestDatabase) -> Values:
    return {"holes": database.dicts(HOLES), "channels": CHANNEL_NAMES}


def _audit(database: RequestDatabase) -> Values:
    return {"findings": database.dicts(FINDINGS), **next(iter(database.dicts(AUDIT)), {})}


def _storage(database: RequestDatabase) -> Values:
    return {
        "tables": database.dicts(STORAGE),
        "exports": {row["table_name"]: row for row in database.dicts(EXPORTS)},
        **database.dicts(DATABASE)[0],
    }
