"""The findings of a check, and the report that a person reads."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec

EXAMPLES = 20
HOLES_LISTED = 10_000


class SimHole(msgspec.Struct):
    """Changes of a market that were sent whole on no connection."""

    ticker: str
    first_ms: int
    last_ms: int
    changes: int = 1


class Findings(msgspec.Struct):
    """The findings about one table: all are counted, some are kept as examples."""

    table: str
    expected: int = 0
    found: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    altered: int = 0
    unfillable: int = 0  # in the history, but sent whole on no connection: not lost
    examples: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    holes: dict[str, SimHole] = msgspec.field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return self.unmatched == 0

    @property
    def unmatched(self) -> int:
        return self.lost + self.duplicated + self.unexpected + self.altered

    def note(self, what: str, example: object) -> None:
        setattr(self, what, getattr(self, what) + 1)
        shown = self.examples.setdefault(what, [])
        if len(shown) < EXAMPLES:
            shown.append(example)

    def hole(self, ticker: str, at_ms: int) -> None:
        self.unfillable += 1
        known = self.holes.get(ticker)
        if known is not None:
            known.first_ms, known.last_ms = min(known.first_ms, at_ms), max(known.last_ms, at_ms)
            known.changes += 1
        elif len(self.holes) < HOLES_LISTED:
            self.holes[ticker] = SimHole(ticker, at_ms, at_ms)


class BookFindings(msgspec.Struct):
    """The findings about books rebuilt from recorded rows, and about recorded snapshots themselves."""

    compared: int = 0
    snapshots_compared: int = 0
    altered: int = 0
    lost: int = 0  # a snapshot was sent, but none is recorded to begin with
    unexpected: int = 0  # a snapshot of a market that does not exist
    unanchored: int = 0  # no snapshot to begin with, and none was sent
    with_holes: int = 0  # a change before it was sent on no connection
    examples: list[Any] = msgspec.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.altered == self.lost == self.unexpected == 0


class SimReport(msgspec.Struct):
    """The whole result of a check."""

    tables: list[Findings]
    books: BookFindings
    is_proof: bool = True  # False: nothing was sent on any connection, so nothing was compared

    @property
    def is_clean(self) -> bool:
        return self.is_proof and self.books.is_clean and all(findings.is_clean for findings in self.tables)


# The report as text for a terminal.

COLUMNS = ("expected", "found", "lost", "duplicated", "unexpected", "altered", "unfillable")
SHOWN = 3


def text_lines(place: str, report: SimReport) -> Iterator[str]:
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
