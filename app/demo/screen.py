"""Show the demo on a terminal: a block of figures that stays in its place, and above it what happens.

In: metrics of the processes, and the verdict on the record. Out: at most 80 columns and 24 rows, whatever the
terminal's size; elsewhere than on a terminal, lines of what happens. Planned faults are started from the same loop.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.demo.exchange import ChaosStep
from app.demo.platform import Platform
from app.postgres.connection import connected, value_of
from app.status.readings import asked_over, read_verdict
from app.status.verdict import age_words

WIDTH = 80


class Screen:
    """The output of the demo. On a terminal a block of figures stays below what is told; elsewhere there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False, markup=False)
        self._block: Live | None = None
        self.is_live = self._console.is_terminal

    def tell(self, line: str) -> None:
        """Print a line, above the block."""
        if self._block is None:
            # As it is: a console would break it at the width that it assumes.
            self._stream.write(f"{line}\n")
            self._stream.flush()
        else:
            self._console.print(line, soft_wrap=True)

    @contextmanager
    def block(self) -> Iterator[None]:
        """Have a block at the bottom, which disappears in the end."""
        if not self.is_live:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop") as block:
            self._block = block
            try:
                yield
            finally:
                self._block = None

    def show(self, block: RenderableType) -> None:
        if self._block is not None:
            self._block.update(block, refresh=True)


# The figures that are shown once a second.

MESSAGES = "kalshi_messages_total"
ROWS = "kalshi_rows_stored_total"
BUFFER = "kalshi_buffer_rows"
SPOOL = "kalshi_spool_bytes"
HEARD = "kalshi_book_markets_heard"
MERGED = "kalshi_merge_rows_new_total"
FINDINGS = "kalshi_audit_open_findings"

Metrics = Mapping[str, float]


class Sample(NamedTuple):
    at_seconds: float  # since 1970
    gatherers: Mapping[str, Metrics]  # empty for one that does not answer
    deduplicator: Metrics


class RecordState(NamedTuple):
    """What production tells of the record."""

    sentence: str
    outages: int  # since the demo began: times in which no gatherer received everything of a market or channel


def take_sample(platform: Platform, at_seconds: float) -> Sample:
    gatherers = {name: recorder.process.metrics() for name, recorder in platform.recorders.items()}
    return Sample(at_seconds, gatherers, platform.deduplicator.metrics())


OUTAGES = "SELECT count(*) FROM coverage_holes WHERE kind = 'outage' AND until > to_timestamp(%s)"


def read_record(platform: Platform, since_seconds: float) -> RecordState:
    with connected(platform.production, "demo") as connection:
        sentence = read_verdict(asked_over(connection), list(platform.recorders)).sentence
        return RecordState(sentence, value_of(connection, OUTAGES, (since_seconds,)))


def block_of(
    addresses: Sequence[tuple[str, str]], passed_seconds: float, before: Sample, now: Sample, record: RecordState
) -> RenderableType:
    """Return the block: addresses, a line for each gatherer and one for production, and the verdict."""
    seconds = now.at_seconds - before.at_seconds
    figures = Table.grid(padding=(0, 2))
    figures.add_column(no_wrap=True)
    for head in ("messages/s", "rows/s", "books", "in memory", "on disk"):
        figures.add_column(head, justify="right", no_wrap=True)
    figures.add_row("", *(Text(str(column.header), style="dim") for column in figures.columns[1:]))
    for name, metrics in now.gatherers.items():
        figures.add_row(Text(name), *_gatherer(before.gatherers[name], metrics, seconds))
    return Group(
        Text(f"{age_words(passed_seconds)} elapsed · {_lost(record)} · Ctrl-C ends it", style="bold"),
        *(Text(f"{what:13}{where}", overflow="ellipsis", no_wrap=True) for what, where in addresses),
        Text(""),
        figures,
        Text(f"{'production':13}{_production(before.deduplicator, now, seconds)}"),
        Text(record.sentence),
    )


def _lost(record: RecordState) -> str:
    if not record.outages:
        return "0 lost so far"
    return f"{record.outages:,} {'outage' if record.outages == 1 else 'outages'} so far, declared"


def _gatherer(before: Metrics, metrics: Metrics, seconds: float) -> list[Text]:
    if not metrics:
        return [Text("away", style="red")]
    rates = [_rate(before, metrics, name, seconds) for name in (MESSAGES, ROWS)]
    counts = [*rates, metrics.get(HEARD, 0), metrics.get(BUFFER, 0)]
    return [*(Text(f"{count:,.0f}") for count in counts), Text(f"{metrics.get(SPOOL, 0) / 1_000:,.0f} kB")]


def _production(before: Metrics, now: Sample, seconds: float) -> str:
    metrics = now.deduplicator
    if not metrics:
        return "away"
    findings = metrics.get(FINDINGS, 0)
    return f"{_rate(before, metrics, MERGED, seconds):,.0f} new rows/s, {findings:,.0f} audit findings"


def _rate(before: Metrics, now: Metrics, name: str, seconds: float) -> float:
    """Return the increase per second, and 0 after a restart, since counters begin at 0 with their process."""
    return max(0.0, now.get(name, 0) - before.get(name, 0)) / seconds if seconds > 0 else 0.0


SHOW_SECONDS = 1.0
# The verdict takes several queries, on a machine that does everything else too.
RECORD_SECONDS = 5.0


def watch(
    platform: Platform, screen: Screen, stopping: threading.Event, seconds: float | None, deeds: Sequence[ChaosStep]
) -> None:
    """Show figures and run the planned faults, until the time is over or the user stops it.

    If it is stopped between a fault and its repair, the repair is still done.
    """
    _tell_where(platform, screen)
    waiting = list(deeds)
    with screen.block():
        _watch(platform, screen, stopping, seconds, waiting)
    if waiting and waiting[0].repairs:
        waiting[0].do()


def _watch(
    platform: Platform, screen: Screen, stopping: threading.Event, seconds: float | None, waiting: list[ChaosStep]
) -> None:
    started, began_seconds = time.monotonic(), time.time()
    before, record, read_at_seconds = take_sample(platform, began_seconds), None, 0.0
    addresses = list(addresses_of(platform))
    while not stopping.wait(SHOW_SECONDS):
        passed_seconds = time.monotonic() - started
        while waiting and waiting[0].at_seconds <= passed_seconds:
            deed = waiting.pop(0)
            screen.tell(f"{passed_seconds:5.1f} s  {deed.what}")
            deed.do()
        platform.check()
        if screen.is_live:
            now = take_sample(platform, time.time())
            if record is None or passed_seconds >= read_at_seconds + RECORD_SECONDS:
                record, read_at_seconds = read_record(platform, began_seconds), passed_seconds
            screen.show(block_of(addresses, passed_seconds, before, now, record))
            before = now
        if seconds is not None and passed_seconds >= seconds and not waiting:
            return


def addresses_of(platform: Platform) -> Iterator[tuple[str, str]]:
    yield "Status page", f"{platform.admin_url}/"
    workers = {name: recorder.process for name, recorder in platform.recorders.items()}
    for name, process in {**workers, "deduplicator": platform.deduplicator, "exporter": platform.exporter}.items():
        yield name, f"{process.url}/metrics"


def _tell_where(platform: Platform, screen: Screen) -> None:
    if screen.is_live:
        return
    for what, where in addresses_of(platform):
        screen.tell(f"{what}: {where}")
    screen.tell("Ctrl-C ends it.")
