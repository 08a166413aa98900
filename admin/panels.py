"""The parts of the status page: what each shows, and how often it looks again."""

from collections.abc import Callable
from typing import Any, NamedTuple

from admin.database import Database
from admin.gatherers import Gatherers
from admin.heat_map import CHANNEL_NAMES, CHANNELS, heat_map
from admin.message_rates import MessageRates
from admin.remembered import Remembered
from app.subscriptions.status import OPEN

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
HOURS = """
    SELECT hour, known_until
    FROM generate_series(date_trunc('hour', now()) - INTERVAL '23 hours', now(), '1 hour') AS hour
    LEFT JOIN coverage_known USING (hour) ORDER BY hour
"""
EXCEPTIONS = """
    SELECT hour, channel, state, count(*) FROM coverage
    WHERE hour > now() - INTERVAL '24 hours' GROUP BY hour, channel, state
"""
HOLES = """
    SELECT hour, channel, ticker, lower(hole) AS since, upper(hole) AS until
    FROM coverage CROSS JOIN LATERAL unnest(holes) AS hole
    WHERE hour > now() - INTERVAL '7 days' AND state = 'hole'
    ORDER BY hour DESC, ticker, lower(hole) DESC LIMIT 10
"""
FINDINGS = """
    SELECT found_at, ticker, from_ts, to_ts, is_explained, differing_levels FROM audit_findings
    WHERE resolved_at IS NULL ORDER BY found_at DESC LIMIT 10
"""
AUDIT = """
    SELECT compared, equal, explained, incomparable, closed, unproven, (
        SELECT count(*) FROM audit_findings WHERE resolved_at IS NULL AND NOT is_explained
    ) AS unexplained FROM audit_progress CROSS JOIN unproven_ends(now() - INTERVAL '1 hour', now())
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
    name: str
    title: str
    every_seconds: int
    values: Callable[[], Values]


def panels_of(database: Database, gatherers: Gatherers) -> dict[str, Panel]:
    rates = MessageRates()

    def of(name: str, title: str, every_seconds: int, values: Callable[[], Values]) -> Panel:
        return Panel(name, title, every_seconds, Remembered(values, min(every_seconds, 30) / 2))

    panels = (
        of("gatherers", "Gatherers", 5, lambda: _gatherers(database, gatherers, rates)),
        of("coverage", "Coverage of the last 24 hours", 30, lambda: _coverage(database)),
        of("production", "Merged into production", 5, lambda: _production(database)),
        of(
            "holes", "Holes of the last 7 days", 30, lambda: {"holes": database.dicts(HOLES), "channels": CHANNEL_NAMES}
        ),
        of("audit", "Proof of the books", 30, lambda: _audit(database)),
        of("storage", "Storage", 60, lambda: _storage(database)),
    )
    return {panel.name: panel for panel in panels}


def _gatherers(database: Database, gatherers: Gatherers, rates: MessageRates) -> Values:
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


def _production(database: Database) -> Values:
    tables: dict[str, dict[str, Any]] = {}
    for cursor in database.dicts(CURSORS):
        tables.setdefault(cursor["table_name"], {})[cursor["gatherer"]] = cursor
    return {"tables": tables, "gatherers": sorted({name for cursors in tables.values() for name in cursors})}


def _coverage(database: Database) -> Values:
    rows = heat_map(database.rows(HOURS), database.rows(EXCEPTIONS))
    return {"rows": rows, "channels": CHANNELS}


def _audit(database: Database) -> Values:
    return {"findings": database.dicts(FINDINGS), **next(iter(database.dicts(AUDIT)), {})}


def _storage(database: Database) -> Values:
    return {
        "tables": database.dicts(STORAGE),
        "exports": {row["table_name"]: row for row in database.dicts(EXPORTS)},
        **database.dicts(DATABASE)[0],
    }
