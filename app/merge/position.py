from datetime import datetime
from typing import NamedTuple

from psycopg2 import sql


class Position(NamedTuple):
    """Up to where a gatherer's table was read. The row read last is looked at again with the next ones: where it is not
    found as it was, this is another database, or an older state of it whose ids were given to other rows since."""

    system_identifier: int
    ingest_id: int  # 0: at the beginning
    probe: int | None = None  # digest of that row

    @property
    def is_beginning(self) -> bool:
        return self.ingest_id == 0


BEGINNING = Position(0, 0)


class Pull(NamedTuple):
    """What was read in one go: rows in COPY's binary form, from one position to another."""

    after: Position
    through: Position
    rows: int = 0
    content: bytes = b""
    received_us: int | None = None  # when the gatherer received the last of the rows
    has_more: bool = False
    lost_before: datetime | None = None  # what came before and is not here was dropped: we had called it safe

    @property
    def starts_anew(self) -> bool:
        """Nothing was read but that the source is not the one that it was."""
        return self.through.is_beginning and not self.after.is_beginning

    @property
    def is_empty(self) -> bool:
        return not self.rows and self.after == self.through


# Tables times shards: the pieces of work that processes divide among themselves.


class Shard(NamedTuple):
    number: int
    of: int

    def holds(self, ticker: str) -> sql.Composed:
        """The condition that a row belongs to it. A hash of PostgreSQL's own, equal on every server."""
        column = sql.Identifier(ticker)
        if self.of == 1:
            return sql.SQL("TRUE").format()
        hashed = sql.SQL("mod(hashtextextended({}, 0) & 9223372036854775807, {})").format(column, sql.Literal(self.of))
        return sql.SQL("{} = {}").format(hashed, sql.Literal(self.number))


def fair_share(lanes: int, members: int) -> int:
    """How many of the lanes one of so many processes may hold: together they hold all, whoever is there."""
    return -(-lanes // max(members, 1))
