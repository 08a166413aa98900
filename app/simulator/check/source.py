from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from app.simulator.check.replay import Levels
from app.simulator.check.tables import Table

# Milliseconds, nth, ticker, and the table's fields.
Row = tuple[Any, ...]


class RecordedSnapshot(NamedTuple):
    ticker: str
    at_us: int
    clock: int
    sides: tuple[Levels, Levels]


class RebuiltBook(NamedTuple):
    base_clock: int
    sides: tuple[Levels, Levels]


class Source(Protocol):
    """Where it was recorded to, as the check reads it."""

    def rows(self, table: Table) -> Iterator[Row]:
        """Those that carry their time, in its order."""

    def untimed_rows(self, table: Table) -> Iterator[Row]:
        """Those whose frame carried no time."""

    def lifecycle(self) -> Iterator[Row]:
        """Ticker, event type and payload, in order of time."""

    def snapshots(self) -> Iterator[RecordedSnapshot]:
        """Whole books that carry a clock; of very many some, and the same ones every time."""

    def rebuilt_book(self, ticker: str, clock: int, from_us: int, until_us: int) -> RebuiltBook | None:
        """The last snapshot up to a clock and every change since; None without a snapshot. Clocks are those of the
        time given, for they may start again."""
