from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from app.coverage.intervals import Intervals
from app.demonstration.holes import Hole, Subject, declared_since, undeclared
from app.simulator.check.findings import Report


class Freshness(NamedTuple):
    """From the exchange's stamp on a change to its commit in production."""

    p50_ms: float | None  # None: there was no change
    p99_ms: float | None


class Archived(NamedTuple):
    """Of the hours since the exchange's start."""

    objects: int
    verified: int
    rows: int
    recorded: int  # in production

    @property
    def is_whole(self) -> bool:
        return self.objects == self.verified and self.rows == self.recorded


class Evidence(NamedTuple):
    """All that is known once a run is over."""

    events: int
    delivered: int
    report: Report
    ready_us: int  # when everybody listened
    true_holes: Sequence[Hole]  # since then
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
    """What was recorded before everybody listened counts; what was missed then is no hole of theirs."""
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


def text_lines(summary: Summary) -> Iterator[str]:
    """For a person."""
    for name, value in msgspec.structs.asdict(summary).items():
        if name != "held":
            yield f"{name.replace('_', ' '):18} {'-' if value is None else f'{value:,}':>12}"
    yield "The promise held." if summary.held else "The promise did NOT hold."
