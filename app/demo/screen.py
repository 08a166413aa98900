"""Show the demo on a terminal: figures once a second, and what happens.

In: metrics of the processes. Out: lines. Planned faults are started from the same loop.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from app.demo.exchange import ChaosStep
from app.demo.platform import Platform

CURSOR_UP = "\x1b[{}A"
CLEAR_BELOW = "\x1b[J"


class Screen:
    """The output of the demo. On a terminal the figures overwrite the last ones; elsewhere only events are printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines = 0
        self.is_live = stream.isatty()

    def tell(self, line: str) -> None:
        self._wipe()
        self._write([line])

    def show(self, lines: Iterable[str]) -> None:
        if self.is_live:
            figures = list(lines)
            self._wipe()
            self._write(figures)
            self._lines = len(figures)

    def _wipe(self) -> None:
        if self._lines:
            self._stream.write(CURSOR_UP.format(self._lines) + CLEAR_BELOW)
            self._lines = 0

    def _write(self, lines: Iterable[str]) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


# The figures that are shown once a second.

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


class Sample(NamedTuple):
    at_seconds: float  # since 1970
    gatherers: Mapping[str, Metrics]  # empty for one that does not answer
    deduplicator: Metrics


def take_sample(platform: Platform, at_seconds: float) -> Sample:
    gatherers = {name: recorder.process.metrics() for name, recorder in platform.recorders.items()}
    return Sample(at_seconds, gatherers, platform.deduplicator.metrics())


def shown(before: Sample, now: Sample) -> Iterator[str]:
    """Yield a line for each gatherer, and one for the merged record."""
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


def _production(before: Metrics, now: Sample, seconds: float) -> str:
    metrics = now.deduplicator
    known_until = metrics.get(KNOWN_UNTIL, 0)
    behind = f"{now.at_seconds - known_until:4.0f} s" if known_until else "   -"
    return (
        f"{_rate(before, metrics, MERGED, seconds):8,.0f} new rows/s, known up to {behind} ago,"
        f" {metrics.get(HOLE_MARKETS, 0):,.0f} books with holes, {metrics.get(FINDINGS, 0):,.0f} audit findings"
    )


def _rate(before: Metrics, now: Metrics, name: str, seconds: float) -> float:
    """Return the increase per second, and 0 after a restart, since counters begin at 0 with their process."""
    return max(0.0, now.get(name, 0) - before.get(name, 0)) / seconds if seconds > 0 else 0.0


SHOW_SECONDS = 1.0


def watch(
    platform: Platform, screen: Screen, stopping: threading.Event, seconds: float | None, deeds: Sequence[ChaosStep]
) -> None:
    """Show figures and run the planned faults, until the time is over or the user stops it.

    If it is stopped between a fault and its repair, the repair is still done.
    """
    _tell_where(platform, screen)
    started = time.monotonic()
    waiting = list(deeds)
    before = take_sample(platform, time.time())
    while not stopping.wait(SHOW_SECONDS):
        passed_seconds = time.monotonic() - started
        while waiting and waiting[0].at_seconds <= passed_seconds:
            deed = waiting.pop(0)
            screen.tell(f"{passed_seconds:5.1f} s  {deed.what}")
            deed.do()
        platform.check()
        now = take_sample(platform, time.time())
        screen.show(shown(before, now))
        before = now
        if seconds is not None and passed_seconds >= seconds and not waiting:
            return
    if waiting and waiting[0].repairs:
        waiting[0].do()


def _tell_where(platform: Platform, screen: Screen) -> None:
    screen.tell(f"Status page: {platform.admin_url}/")
    for name, recorder in platform.recorders.items():
        screen.tell(f"Gatherer {name}: {recorder.process.url}/admin/connections and /metrics")
    screen.tell(f"Deduplicator: {platform.deduplicator.url}/metrics; exporter: {platform.exporter.url}/metrics")
    screen.tell("Ctrl-C ends it.")
