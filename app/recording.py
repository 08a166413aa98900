from typing import Protocol

from app.store.tables import Row, Table

# Numbers of connections, as they are in every row's lineage: two each for what concerns the whole exchange.
TICKER_CONNECTIONS = (1, 2)
TRADE_CONNECTIONS = (3, 4)
LIFECYCLE_CONNECTIONS = (5, 6)
FIRST_BOOK_CONNECTION = 7


class Sink(Protocol):
    """Takes rows for being stored, in memory or on disk, in the order in which they are given."""

    def put(self, table: Table, rows: list[Row]) -> None:
        """The rows are the sink's at once, and the list too; then waits while too much is not stored yet."""
