from typing import Any

import msgspec

EXAMPLES = 20
HOLES_LISTED = 10_000


class Hole(msgspec.Struct):
    """Changes of a market that were sent whole to nobody."""

    ticker: str
    first_ms: int
    last_ms: int
    changes: int = 1


class Findings(msgspec.Struct):
    """What the comparison found in one table: all of it counted, some of it shown."""

    table: str
    expected: int = 0
    found: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    altered: int = 0
    unfillable: int = 0  # in the history, but sent whole to nobody: not lost
    examples: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    holes: dict[str, Hole] = msgspec.field(default_factory=dict)

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
            self.holes[ticker] = Hole(ticker, at_ms, at_ms)


class BookFindings(msgspec.Struct):
    """Books that were rebuilt from a recorded snapshot and recorded changes, and recorded snapshots themselves."""

    compared: int = 0
    snapshots_compared: int = 0
    altered: int = 0
    lost: int = 0  # a snapshot was sent, and there is none to begin with
    unexpected: int = 0  # a snapshot of a market that there is not
    unanchored: int = 0  # no snapshot to begin with, nor was one sent
    with_holes: int = 0  # a change before it was sent to nobody
    examples: list[Any] = msgspec.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.altered == self.lost == self.unexpected == 0


class Report(msgspec.Struct):
    tables: list[Findings]
    books: BookFindings
    is_proof: bool = True  # False: nothing was sent to anybody, so nothing was compared

    @property
    def is_clean(self) -> bool:
        return self.is_proof and self.books.is_clean and all(findings.is_clean for findings in self.tables)
