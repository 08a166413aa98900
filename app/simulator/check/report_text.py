"""The report as a person reads it on a terminal."""

from collections.abc import Iterator

from app.simulator.check.findings import Report

COLUMNS = ("expected", "found", "lost", "duplicated", "unexpected", "altered", "unfillable")


def text_lines(report: Report) -> Iterator[str]:
    yield f"{'':18}" + "".join(f"{column:>12}" for column in COLUMNS)
    for findings in report.tables:
        yield f"{findings.table:18}" + "".join(f"{getattr(findings, column):12,}" for column in COLUMNS)
    books = report.books
    yield (
        f"Books: {books.compared:,} rebuilt and {books.snapshots_compared:,} snapshots compared; "
        f"{books.altered:,} differ, "
        f"{books.unanchored:,} have no snapshot to begin with, {books.with_holes:,} have holes."
    )
    for findings in report.tables:
        for what, examples in findings.examples.items():
            for example in examples[:3]:
                yield f"  {findings.table} {what}: {example}"
    for example in books.examples[:3]:
        yield f"  book altered: {example}"
    for findings in report.tables:
        if findings.holes:
            yield f"Holes that nobody could have filled in {findings.table}: {len(findings.holes):,} markets."
    yield "Production is exactly what happened." if report.is_clean else "Production is not what happened."
