from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from app.postgres.connection import Connection
from app.simulator.check.matcher import Extra, Key
from app.simulator.check.tables import Table

ROWS_AT_ONCE = 20_000


def streamed(connection: Connection, query: str, name: str) -> Iterator[tuple[Any, ...]]:
    """The rows of any large answer, a piece at a time."""
    with connection.cursor(name=name) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(query)
        yield from cursor


class Rows:
    """A table's rows in order of time, taken second by second."""

    def __init__(self, connection: Connection, table: Table, *, cents: bool) -> None:
        self._table = table
        self._cents = cents
        self._rows = streamed(connection, table.query(untimed=False), table.name)
        self._connection = connection
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
        for row in streamed(self._connection, self._table.query(untimed=True), f"{self._table.name}_untimed"):
            yield Extra(self._table.key_of_row(row, cents=self._cents), row[1])
