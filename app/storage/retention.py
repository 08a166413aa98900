"""Run one round of chunk maintenance: create chunks ahead, compress old ones, drop the ones that may go.

Chunks are dropped by age, and by size when the disk budget is exceeded; in both cases only if their rows are safe
elsewhere (app/storage/confirmation.py). Locks are waited for briefly: a chunk in use is tried again next round.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

import psycopg2.errors
from psycopg2 import sql

from app.postgres.connection import Connection, value_of
from app.runtime import logs
from app.storage.cleanup import bytes_beside_chunks
from app.storage.confirmation import (
    Chunk,
    ChunkedTable,
    Confirmation,
    LastResort,
    all_chunks,
    chunked_tables,
    is_past_its_age,
    oldest_first,
)

log = logs.get(__name__)

LOCK = "kalshi-data maintenance"
AHEAD = timedelta(days=2)  # chunks are created this long before they are needed
LOCK_TIMEOUT = "2s"
LICENSE = """
    SELECT CASE
        WHEN EXISTS (SELECT FROM chunked_tables WHERE strategy = 'hypertable')
            THEN current_setting('timescaledb.license', TRUE)
    END
"""
MOST = 2**63 - 1  # above every ingest_id
IN_USE = (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected)


class Fate(Enum):
    DROPPED = "dropped"
    UNCONFIRMED = "not safe elsewhere yet"
    BUSY = "in use, or a late row just came"


class Round(NamedTuple):
    created: int
    compressed: int
    dropped: int
    unconfirmed: int
    busy: int
    size_bytes: int
    sacrificed: int  # of the dropped chunks: dropped for the disk budget alone, before the lake had them
    sacrificed_bytes: int


def maintain(
    connection: Connection,
    confirmed: Confirmation,
    max_bytes: int,
    now: datetime,
    last_resort: LastResort | None = None,
) -> Round | None:
    """Run one round and return its counts. Return None if another process holds the lock.

    The lock belongs to the session: this process holds it until it closes the connection.
    """
    if not value_of(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (LOCK,)):
        return None
    tables = {table.name: table for table in chunked_tables(connection)}
    created = _make_room(connection, now)
    compressed = _compress(connection, tables, now, are_unread_too=False)
    chunks, size_bytes = _chunks_and_size(connection)
    if size_bytes > max_bytes and (more := _compress(connection, tables, now, are_unread_too=True)):
        compressed += more
        chunks, size_bytes = _chunks_and_size(connection)
    fates: Counter[Fate] = Counter()
    left = []
    for chunk in oldest_first(chunks, now):
        table = tables[chunk.table]
        if size_bytes > max_bytes or is_past_its_age(chunk, table.keep_for, now):
            fate = _drop(connection, table, chunk, confirmed)
            fates[fate] += 1
            size_bytes -= chunk.size_bytes if fate is Fate.DROPPED else 0
            left += [chunk] if fate is Fate.UNCONFIRMED else []
    sacrificed = _sacrifice(connection, tables, left, size_bytes - max_bytes, last_resort) if last_resort else []
    sacrificed_bytes = sum(chunk.size_bytes for chunk in sacrificed)
    size_bytes -= sacrificed_bytes
    if size_bytes > max_bytes:
        log.error("disk budget exceeded: no further chunk may be dropped", size_bytes=size_bytes, max_bytes=max_bytes)
    count = len(sacrificed)
    dropped, unconfirmed = fates[Fate.DROPPED] + count, fates[Fate.UNCONFIRMED] - count
    return Round(created, compressed, dropped, unconfirmed, fates[Fate.BUSY], size_bytes, count, sacrificed_bytes)


def _sacrifice(
    connection: Connection,
    tables: dict[str, ChunkedTable],
    left: list[Chunk],
    excess_bytes: int,
    last_resort: LastResort,
) -> list[Chunk]:
    """Drop the oldest of the remaining chunks until the excess is gone. Return the dropped chunks."""
    gone: list[Chunk] = []
    for chunk in left:
        if sum(each.size_bytes for each in gone) >= excess_bytes:
            break
        if _drop(connection, tables[chunk.table], chunk, last_resort.may_go, last_resort) is Fate.DROPPED:
            log.error("disk budget exceeded: chunk dropped before it was archived", chunk=chunk.name)
            gone.append(chunk)
    return gone


def _chunks_and_size(connection: Connection) -> tuple[list[Chunk], int]:
    chunks = all_chunks(connection)
    size_bytes = sum(chunk.size_bytes for chunk in chunks) + bytes_beside_chunks(connection)
    connection.commit()
    return chunks, size_bytes


def _make_room(connection: Connection, now: datetime) -> int:
    """Create the chunks of the coming days, so that writers do not have to. Return how many."""
    query = "SELECT coalesce(sum(ensure_chunks(table_name, %s, %s)), 0) FROM chunked_tables"
    created = int(value_of(connection, query, (now, now + AHEAD)))
    connection.commit()
    return created


def _compress(
    connection: Connection, tables: Mapping[str, ChunkedTable], now: datetime, *, are_unread_too: bool
) -> int:
    """Compress chunks past their age, and again chunks that late rows have reopened. Return how many.

    Compressed rows are slow to read in order of arrival, so rows that a reader has not reached yet stay uncompressed
    unless the disk budget is exceeded.
    """
    if value_of(connection, LICENSE) != "timescale":
        connection.commit()
        return 0
    compressed = 0
    for table in tables.values():
        through = MOST if are_unread_too else int(value_of(connection, "SELECT read_through(%s)", (table.name,)))
        for range_start in _waiting(connection, table, now):
            compressed += _compress_one(connection, table, range_start, through)
    return compressed


def _waiting(connection: Connection, table: ChunkedTable, now: datetime) -> list[datetime]:
    query = "SELECT range_start FROM chunks_to_compress(%s, %s)"
    with connection, connection.cursor() as cursor:
        cursor.execute(query, (table.name, now - table.compress_after))
        return [range_start for (range_start,) in cursor]


def _compress_one(connection: Connection, table: ChunkedTable, range_start: datetime, through: int) -> bool:
    try:
        value_of(connection, "SELECT set_config('lock_timeout', %s, TRUE)", (LOCK_TIMEOUT,))
        query = "SELECT compress_for_readers(%s, %s, %s)"
        is_compressed = bool(value_of(connection, query, (table.name, range_start, through)))
        connection.commit()
    except IN_USE:
        connection.rollback()
        return False
    return is_compressed


def _drop(
    connection: Connection,
    table: ChunkedTable,
    chunk: Chunk,
    confirmed: Confirmation,
    last_resort: LastResort | None = None,
) -> Fate:
    last_ingest_id = _last_ingest_id(connection, chunk)
    # An empty chunk needs no confirmation.
    is_safe = last_ingest_id == 0 or confirmed(connection, table, chunk, last_ingest_id)
    connection.commit()
    if not is_safe:
        return Fate.UNCONFIRMED
    try:
        # A waiting lock request queues every later one behind it, so give up soon and try again next round.
        value_of(connection, "SELECT set_config('lock_timeout', %s, TRUE)", (LOCK_TIMEOUT,))
        drop = (table.name, chunk.range_start, last_ingest_id)
        is_dropped = value_of(connection, "SELECT drop_chunk(%s, %s, %s)", drop)
        if is_dropped and last_resort is not None:
            last_resort.note(connection, table, chunk)  # in the same transaction
        connection.commit()
    except IN_USE:
        connection.rollback()
        return Fate.BUSY
    if is_dropped:
        log.info("chunk dropped", chunk=chunk.name, size_bytes=chunk.size_bytes)
    return Fate.DROPPED if is_dropped else Fate.BUSY


def _last_ingest_id(connection: Connection, chunk: Chunk) -> int:
    # chunks() returns the name quoted where needed, and with the schema for a hypertable.
    query = sql.SQL("SELECT coalesce(max(ingest_id), 0) FROM {}").format(sql.SQL(chunk.name))
    return int(value_of(connection, query))
