"""What the demo shows of itself once a second."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.demonstration.platform import Platform

MESSAGES = "kalshi_messages_total"
ROWS = "kalshi_rows_stored_total"
BUFFER = "kalshi_buffer_rows"
SPOOL = "kalshi_spool_bytes"
HEARD = "kalshi_book_markets_heard"
MERGED = "kalshi_merge_rows_new_total"
KNOWN_UNTIL = "kalshi_coverage_known_until_timestamp_seconds"
HOLE_MARKETS = "kalshi_coverage_hole_markets"
FINDINGS = "kalshi_audit_open_findings"

Metrics = Mapping[str, float]


class Look(NamedTuple):
    at_seconds: float  # since 1970
    gatherers: Mapping[str, Metrics]  # one that does not answer has none
    deduplicator: Metrics


def look(platform: Platform, at_seconds: float) -> Look:
    gatherers = {name: recorder.process.metrics() for name, recorder in platform.recorders.items()}
    return Look(at_seconds, gatherers, platform.deduplicator.metrics())


def shown(before: Look, now: Look) -> Iterator[str]:
    """A line for each gatherer, and one for what is made of their recordings."""
    seconds = now.at_seconds - before.at_seconds
    for name, metrics in now.gatherers.items():
        yield f"{name:12} {_gatherer(before.gatherers[name], metrics, seconds) if metrics else 'away'}"
    yield f"{'production':12} {_production(before.deduplicator, now, seconds) if now.deduplicator else 'away'}"


def _gatherer(before: Metrics, metrics: Metrics, seconds: float) -> str:
    return (
        f"{_rate(before, metrics, MESSAGES, seconds):8,.0f} messages/s"
        f" {_rate(before, metrics, ROWS, seconds):8,.0f} rows/s"
        f" {metrics.get(HEARD, 0):8,.0f} books {metrics.get(BUFFER, 0):7,.0f} rows in memory"
        f" {metrics.get(SPOOL, 0) / 1_000:9,.0f} kB on disk"
    )


def _production(before: Metrics, now: Look, seconds: float) -> str:
    metrics = now.deduplicator
    known_until = metrics.get(KNOWN_UNTIL, 0)
    behind = f"{now.at_seconds - known_until:4.0f} s" if known_until else "   -"
    return (
        f"{_rate(before, metrics, MERGED, seconds):8,.0f} new rows/s, known up to {behind} ago,"
        f" {metrics.get(HOLE_MARKETS, 0):,.0f} books with holes, {metrics.get(FINDINGS, 0):,.0f} audit findings"
    )


def _rate(before: Metrics, now: Metrics, name: str, seconds: float) -> float:
    """Counters begin anew with their process."""
    return max(0.0, now.get(name, 0) - before.get(name, 0)) / seconds if seconds > 0 else 0.0
