from collections import defaultdict
from collections.abc import Iterator

from app.simulator.check.matcher import Extra, Key
from app.simulator.check.source import Source
from app.simulator.check.tables import Table


class RecordedRows:
    """A table's rows in order of time, taken second by second."""

    def __init__(self, source: Source, table: Table, *, cents: bool) -> None:
        self._source = source
        self._table = table
        self._cents = cents
        self._rows = source.rows(table)
        self._next = next(self._rows, None)

    def until(self, second: int) -> dict[Key, list[int]]:
        """The nths by key, up to and including the second."""
        found: dict[Key, list[int]] = defaultdict(list)
        end_ms = (second + 1) * 1_000
        row = self._next
        while row is not None and row[0] < end_ms:
            found[self._table.key_of_row(row, cents=self._cents)].append(row[1])
            row = next(self._rows, None)
        self._next = row
        return found

    def rest(self) -> Iterator[dict[Key, list[int]]]:
        while self._next is not None:
            yield self.until(self._next[0] // 1_000)

    def untimed(self) -> Iterator[Extra]:
        for row in self._source.untimed_rows(self._table):
            yield Extra(self._table.key_of_row(row, cents=self._cents), row[1])
