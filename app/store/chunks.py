from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from app.postgres.connection import Connection


class ChunkedTable(NamedTuple):
    name: str
    time_column: str
    compress_after: timedelta  # once it was read
    keep_for: timedelta | None  # None: for ever


class Chunk(NamedTuple):
    """A piece of a table: one hypertable chunk, or one partition."""

    table: str
    name: str
    range_start: datetime
    range_end: datetime
    size_bytes: int
    is_compressed: bool


def chunked_tables(connection: Connection) -> list[ChunkedTable]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, time_column, compress_read_after, keep_for FROM chunked_tables ORDER BY table_name"
        )
        return [ChunkedTable(*row) for row in cursor.fetchall()]


def all_chunks(connection: Connection) -> list[Chunk]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT t.table_name, c.* FROM chunked_tables AS t, chunks(t.table_name) AS c")
        return [Chunk(*row) for row in cursor.fetchall()]


def is_past_its_age(chunk: Chunk, keep_for: timedelta | None, now: datetime) -> bool:
    return keep_for is not None and chunk.range_end <= now - keep_for


def oldest_first(chunks: Iterable[Chunk], now: datetime) -> list[Chunk]:
    """The order in which chunks go when room is needed, of all tables together; without those that still fill."""
    filled = (chunk for chunk in chunks if chunk.range_end <= now)
    return sorted(filled, key=lambda chunk: (chunk.range_end, chunk.table))
