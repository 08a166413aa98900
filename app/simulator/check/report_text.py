"""The report as a person reads it on a terminal."""

import datetime as dt
from collections.abc import Iterator

from app.simulator.check.findings import BookFindings, Findings, Report

COLUMNS = ("expected", "found", "lost", "duplicated", "unexpected", "altered", "unfillable")
SHOWN = 3


def text_lines(place: str, report: Report) -> Iterator[str]:
    yield f"{'':18}" + "".join(f"{column:>12}" for column in COLUMNS)
    for findings in report.tables:
        yield f"{findings.table:18}" + "".join(f"{getattr(findings, column):12,}" for column in COLUMNS)
    yield from _books(report.books)
    for findings in report.tables:
        yield from _examples(findings)
    for findings in report.tables:
        yield from _holes(findings)
    if not report.is_proof:
        yield "Nothing was sent to anybody, so this proves nothing."
    yield f"{place.capitalize()} is {'exactly' if report.is_clean else 'not'} what happened."


def _books(books: BookFindings) -> Iterator[str]:
    yield (
        f"Books: {books.compared:,} rebuilt and {books.snapshots_compared:,} snapshots compared; "
        f"{books.altered:,} differ, {books.lost:,} lack the snapshot that was sent, "
        f"{books.unexpected:,} snapshots are of unknown markets, {books.unanchored:,} have no snapshot to begin with, "
        f"{books.with_holes:,} have holes."
    )
    yield from (f"  book altered: {example}" for example in books.examples[:SHOWN])


def _examples(findings: Findings) -> Iterator[str]:
    for what, examples in findings.examples.items():
        yield from (f"  {findings.table} {what}: {example}" for example in examples[:SHOWN])


def _holes(findings: Findings) -> Iterator[str]:
    if not findings.holes:
        return
    yield f"Holes that nobody could have filled in {findings.table}, of {len(findings.holes):,} tickers:"
    for hole in list(findings.holes.values())[:SHOWN]:
        yield f"  {hole.ticker}: {hole.changes:,} from {_moment(hole.first_ms)} to {_moment(hole.last_ms)}"


def _moment(at_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC).replace(microsecond=at_ms % 1_000 * 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
