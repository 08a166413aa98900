"""Tables times shards: the pieces of work that processes divide among themselves."""

from typing import NamedTuple

from psycopg2 import sql


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
