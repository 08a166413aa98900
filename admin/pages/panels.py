"""The panels of the status page: the values that each shows, and how often it refreshes."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from admin.api.gatherers import Gatherers
from admin.api.status import ReadVerdict
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from app.subscriptions.interface import OPEN

# The last day's coverage as a heat map: a row for each channel, a column for each hour.

HOUR = timedelta(hours=1)
CHANNELS = {
    "orderbook_delta": "Order books",
    "trade": "Trades",
    "ticker": "Tickers",
    "market_lifecycle_v2": "Lifecycle",
}
CHANNEL_NAMES = {**CHANNELS, "multivariate_market_lifecycle": "Lifecycle of combos"}


class Cell(NamedTuple):
    """One hour of a channel in the heat map."""

    hour: datetime
    state: str  # complete, repaired, hole, pending, unrecorded
    affected: int  # markets with a hole or a repair; 1 for the whole exchange

    @property
    def text(self) -> str:
        told = {
            "hole": f"{self.affected} with a hole",
            "repaired": f"{self.affected} repaired",
            "unrecorded": "before the record began",
        }
        return f"{self.hour:%d %b %H:%M}: {told.get(self.state, self.state)}"


def heat_map(hours: Sequence[tuple[Any, ...]], exceptions: Sequence[tuple[Any, ...]]) -> dict[str, list[Cell]]:
    """Return the cells by channel. A hole takes precedence over a repair, and both over an unknown state.

    `hours` are given with the time up to which each is known, None if nothing is known of it. Return {} if none is
    known.
    """
    first = min((hour for hour, known_until in hours if known_until), default=None)
    found = {(hour, channel, state): count for hour, channel, state, count in exceptions}

    def cell(channel: str, hour: datetime, known_until: datetime | None) -> Cell:
        for state in ("hole", "repaired"):
            if count := found.get((hour, channel, state)):
                return Cell(hour, state, count)
        if first is not None and hour < first:
            return Cell(hour, "unrecorded", 0)
        return Cell(hour, "complete" if known_until == hour + HOUR else "pending", 0)

    return {channel: [cell(channel, *hour) for hour in hours] for channel in CHANNELS} if first else {}


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
        of("production", "Merged into production", 5, lambda: _production(database)),
        of(
            "holes", "Holes of the last 7 days", 30, lambda: {"holes": database.dicts(HOLES), "channels": CHANNEL_NAMES}
        ),
        of("audit", "Proof of the books", 30, lambda: _audit(database)),
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
    rows = heat_map(database.rows(HOURS), database.rows(EXCEPTIONS))
    return {"rows": rows, "channels": CHANNELS}


def _audit(database: RequestDatabase) -> Values:
    return {"findings": database.dicts(FINDINGS), **next(iter(database.dicts(AUDIT)), {})}


def _storage(database: RequestDatabase) -> Values:
    return {
        "tables": database.dicts(STORAGE),
        "exports": {row["table_name"]: row for row in database.dicts(EXPORTS)},
        **database.dicts(DATABASE)[0],
    }
