"""Summarize a run of the demo: what was lost, and whether every loss is declared as a hole.

In: evidence from app/demo/proof.py. Out: a summary, and whether the platform's promise held.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from app.coverage.evidence import BOOKS, COMBO_LIFECYCLE, LIFECYCLE, TICKERS, TRADES, WHOLE_EXCHANGE
from app.coverage.intervals import Intervals
from app.simulator.check.report import SimReport
from app.simulator.market.changes import Change, SimDelta, SimLifecycle, SimTrade
from app.simulator.market.lifecycle import SILENT

# The changes that no gatherer was sent, and whether they are declared as missing.


class Subject(NamedTuple):
    channel: str
    ticker: str  # or the whole exchange


class TrueHole(NamedTuple):
    subject: Subject
    first_us: int
    last_us: int


def true_holes(
    changes: Iterable[Change], delivered: Container[int], ticker: Callable[[int], str], since_us: int
) -> Iterator[TrueHole]:
    """Yield the runs of consecutive changes of one subject that no gatherer was sent completely; unordered."""
    under_way: dict[Subject, TrueHole] = {}
    for ordinal, change in enumerate(changes):
        if change.at_us < since_us or (isinstance(change, SimLifecycle) and change.message_type == SILENT):
            continue
        subject = _subject(change, ticker)
        if ordinal not in delivered:
            before = under_way.get(subject, TrueHole(subject, change.at_us, change.at_us))
            under_way[subject] = before._replace(last_us=change.at_us)
        elif subject in under_way:
            yield under_way.pop(subject)
    yield from under_way.values()


def undeclared(holes: Iterable[TrueHole], declared: Mapping[Subject, Intervals]) -> list[TrueHole]:
    """Return the holes that are not inside a declared interval."""
    return [hole for hole in holes if not _lies_in(hole, declared.get(hole.subject, ()))]


def declared_since(declared: Mapping[Subject, Intervals], since_us: int) -> int:
    return sum(end_us > since_us for intervals in declared.values() for _, end_us in intervals)


def by_subject(rows: Iterable[tuple[str, str, int, int]]) -> dict[Subject, list[tuple[int, int]]]:
    grouped: dict[Subject, list[tuple[int, int]]] = defaultdict(list)
    for channel, ticker, start_us, end_us in rows:
        grouped[Subject(channel, ticker)].append((start_us, end_us))
    return grouped


def _lies_in(hole: TrueHole, intervals: Intervals) -> bool:
    return any(start_us <= hole.first_us and hole.last_us < end_us for start_us, end_us in intervals)


def _subject(change: Change, ticker: Callable[[int], str]) -> Subject:
    if isinstance(change, SimDelta):
        return Subject(BOOKS, ticker(change.market))
    if isinstance(change, SimLifecycle):
        channel = COMBO_LIFECYCLE if change.message_type == COMBO_LIFECYCLE else LIFECYCLE
    else:
        channel = TRADES if isinstance(change, SimTrade) else TICKERS
    return Subject(channel, WHOLE_EXCHANGE)


class Freshness(NamedTuple):
    """The time from the exchange's stamp on a change to its commit in production."""

    p50_ms: float | None  # None: there was no change
    p99_ms: float | None


class Archived(NamedTuple):
    """The lake's objects of the hours since the exchange's start."""

    objects: int
    verified: int
    rows: int
    recorded: int  # in production

    @property
    def is_whole(self) -> bool:
        return self.objects == self.verified and self.rows == self.recorded


class Evidence(NamedTuple):
    """All facts about a run that is over."""

    events: int
    delivered: int
    report: SimReport
    ready_us: int  # when every gatherer was listening
    true_holes: Sequence[TrueHole]  # since then
    declared: Mapping[Subject, Intervals]
    freshness: Freshness
    archived: Archived
    audit_findings: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    held: bool
    events: int
    delivered: int
    rows: int
    lost: int
    duplicated: int
    unexpected: int
    altered: int
    holes_declared: int
    holes_true: int
    holes_undeclared: int
    freshness_p50_ms: float | None
    freshness_p99_ms: float | None
    lake_objects: int
    lake_verified: int
    lake_rows: int
    audit_findings: int


def summary_of(evidence: Evidence) -> Summary:
    """Return the summary. Rows from before every gatherer listened count; misses from then are not holes."""
    report = evidence.report
    tables, books = report.tables, report.books
    unsaid = undeclared(evidence.true_holes, evidence.declared)
    return Summary(
        held=report.is_clean and not unsaid and evidence.archived.is_whole and not evidence.audit_findings,
        events=evidence.events,
        delivered=evidence.delivered,
        rows=sum(table.found for table in tables),
        lost=sum(table.lost for table in tables) + books.lost,
        duplicated=sum(table.duplicated for table in tables),
        unexpected=sum(table.unexpected for table in tables) + books.unexpected,
        altered=sum(table.altered for table in tables) + books.altered,
        holes_declared=declared_since(evidence.declared, evidence.ready_us),
        holes_true=len(evidence.true_holes),
        holes_undeclared=len(unsaid),
        freshness_p50_ms=evidence.freshness.p50_ms,
        freshness_p99_ms=evidence.freshness.p99_ms,
        lake_objects=evidence.archived.objects,
        lake_verified=evidence.archived.verified,
        lake_rows=evidence.archived.rows,
        audit_findings=evidence.audit_findings,
    )


# What each figure says, short enough for a line of 80 columns.
WORDS = {
    "events": "changes that the exchange made",
    "delivered": "of these, sent to at least one gatherer",
    "rows": "changes in production; fetched trades included",
    "lost": "sent, and not in production",
    "duplicated": "in production more than once",
    "unexpected": "in production, and never made",
    "altered": "in production with other values",
    "holes_declared": "times in which something may be missing",
    "holes_true": "times in which changes were sent to nobody",
    "holes_undeclared": "true holes that are not declared",
    "freshness_p50_ms": "from a change to production: half of them",
    "freshness_p99_ms": "the same: 99 of 100",
    "lake_objects": "hours of tables written to the lake",
    "lake_verified": "of these, read back and found equal",
    "lake_rows": "rows in them; snapshots included",
    "audit_findings": "rebuilt books that differ, unexplained",
}


def text_lines(summary: Summary) -> Iterator[str]:
    """Yield the summary as lines for a person."""
    for name, value in msgspec.structs.asdict(summary).items():
        if name != "held":
            yield f"{name.replace('_', ' '):16} {'-' if value is None else f'{value:,}':>12}  {WORDS[name]}"
    yield from _explanations(summary)
    yield "The promise held." if summary.held else "The promise did NOT hold."


def _explanations(summary: Summary) -> Iterator[str]:
    """Yield a line for each pair of figures that looks like a contradiction."""
    if summary.delivered < summary.events:
        yield "Not delivered: what came before the subscriptions, and in faults of all."
    if summary.rows > summary.delivered:
        yield "More rows than delivered: trades that were fetched by REST afterwards."
    if summary.holes_declared > summary.holes_true:
        yield "Declared holes without a true one: nothing happened to change in them."
