"""Positions in a gatherer's table, the rows read between two of them, and the shards that divide a table.

Plain values without I/O: source.py makes them, cursors.py stores them.
"""

from datetime import datetime
from typing import NamedTuple

from psycopg2 import sql


class Position(NamedTuple):
    """The place up to which a gatherer's table was read.

    The row read last is read again with the next ones. If it is not found unchanged, the database is another one, or
    was restored to an older state and has given the ids to other rows since.
    """

    system_identifier: int
    ingest_id: int  # 0: at the beginning
    probe: int | None = None  # digest of the row with this ingest_id

    @property
    def is_beginning(self) -> bool:
        return self.ingest_id == 0


BEGINNING = Position(0, 0)


class Pull(NamedTuple):
    """The result of one read: rows in COPY's binary form, from one position to another."""

    after: Position
    through: Position
    rows: int = 0
    content: bytes = b""
    received_us: int | None = None  # when the gatherer received the last of the rows
    has_more: bool = False
    # Rows before this time may have been dropped unread, after this production or another one had confirmed them
    lost_before: datetime | None = None

    @property
    def starts_anew(self) -> bool:
        """Return True if nothing was read because the source is no longer the database that was read before."""
        return self.through.is_beginning and not self.after.is_beginning

    @property
    def is_empty(self) -> bool:
        return not self.rows and self.after == self.through


# Lanes: tables times shards, the pieces of work that processes divide among themselves.


class Shard(NamedTuple):
    number: int
    of: int

    def holds(self, ticker: str) -> sql.Composed:
        """Return the SQL condition that a row belongs to this shard. The hash is PostgreSQL's own, equal on every
        server."""
        column = sql.Identifier(ticker)
        if self.of == 1:
            return sql.SQL("TRUE").format()
        hashed = sql.SQL("mod(hashtextextended({}, 0) & 9223372036854775807, {})").format(column, sql.Literal(self.of))
        return sql.SQL("{} = {}").format(hashed, sql.Literal(self.number))


def fair_share(lanes: int, members: int) -> int:
    """Return how many lanes one of `members` processes may hold. Rounded up, so that together they hold all lanes."""
    return -(-lanes // max(members, 1))
