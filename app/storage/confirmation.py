"""Decide whether a chunk's rows are safe elsewhere, so that it may be dropped here.

A gatherer's chunk may be dropped when every production database that reads it has committed its rows and, if its
database is bound to a lake, that lake's raw/ has them too. If the disk is full, the second condition is given up before
recording is: production has each event, and raw/ only records how it arrived. So a lake that is unreachable for days
costs copies but never an event, while a full disk would cost everything the exchange sends next. What raw/ lacks is
noted in archive_losses.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from app.postgres.connection import Connection, value_of
from app.postgres.databases import DatabaseKind


class ChunkedTable(NamedTuple):
    name: str
    time_column: str
    compress_after: timedelta  # counted from when its rows were read
    keep_for: timedelta | None  # None: without limit


class Chunk(NamedTuple):
    """A piece of a table: one hypertable chunk, or one partition."""

    table: str
    name: str
    range_start: datetime
    range_end: datetime
    size_bytes: int
    is_compressed: bool


def chunked_tables(connection: Connection) -> list[ChunkedTable]:
    """Return the settings of every table that is kept in chunks."""
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
    """Return True if the chunk ended at least `keep_for` ago; False if rows are kept without limit."""
    return keep_for is not None and chunk.range_end <= now - keep_for


def oldest_first(chunks: Iterable[Chunk], now: datetime) -> list[Chunk]:
    """Return the chunks of all tables in the order in which they are dropped for space; not the ones still filling."""
    filled = (chunk for chunk in chunks if chunk.range_end <= now)
    return sorted(filled, key=lambda chunk: (chunk.range_end, chunk.table))


OF_BOUND_LAKE = "lake_id = (SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL)"

IS_BOUND = "SELECT EXISTS (SELECT FROM lakes WHERE bound_at IS NOT NULL)"
SURVEYED = f"""
    SELECT coalesce(max(ingest_id), 0) FROM export_cursors WHERE {OF_BOUND_LAKE} AND table_name = %s
"""  # noqa: S608 - a constant, as below
UNFINISHED = f"""
    SELECT count(*) FROM exports
    WHERE {OF_BOUND_LAKE} AND table_name = %s AND hour >= %s AND hour < %s
        AND (verified_at IS NULL OR through_ingest_id < changed_through)
"""  # noqa: S608
NOTE_LOSS = """
    INSERT INTO archive_losses (table_name, started_at, ended_at) VALUES (%(table)s, %(start)s, %(end)s)
    ON CONFLICT (table_name, started_at) DO UPDATE SET dropped_at = now()
"""
LOSSES = "SELECT table_name, started_at, ended_at FROM archive_losses ORDER BY started_at DESC, table_name LIMIT 100"
OF_CHUNK = "table_name = %(name)s AND hour >= %(start)s AND hour < %(end)s"
FORGET_UNWRITTEN = f"DELETE FROM exports WHERE {OF_CHUNK} AND manifest = ''"  # noqa: S608
# An exporter that is reading one of these hours finds that the ledger's entry has changed.
BEGIN_ANEW = f"""
    UPDATE exports SET through_ingest_id = 0, verified_at = NULL
    WHERE {OF_CHUNK} AND (verified_at IS NULL OR through_ingest_id < changed_through)
"""  # noqa: S608

# At a gatherer: the position up to which every known production has committed a table. A production that the gatherer
# was made to forget does not count.
CONFIRMED_BY_ALL = """
    SELECT coalesce(min(coalesce(ingest_id, 0)), 0)
    FROM (SELECT DISTINCT production FROM confirmations) AS known
    LEFT JOIN (SELECT * FROM confirmations WHERE table_name = {table}) AS confirmed USING (production)
"""
# The name by which a gatherer distinguishes production databases.
NAME_OF_PRODUCTION = "SELECT system_identifier || '/' || current_database() FROM pg_control_system()"

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """Return True if every production that reads this gatherer has committed everything up to the chunk's last row."""
    return int(value_of(connection, CONFIRMED_BY_ALL.format(table="%s"), (table.name,))) >= last_ingest_id


class ConfirmingProduction(NamedTuple):
    production: str  # '': from before production databases had names
    confirmed_at: datetime
    tables: int


def confirming_productions(connection: Connection) -> list[ConfirmingProduction]:
    """Return the productions that read this gatherer, the one that has been silent longest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT production, max(confirmed_at), count(*) FROM confirmations GROUP BY 1 ORDER BY 2")
        return [ConfirmingProduction(*row) for row in cursor.fetchall()]


def forget_production(connection: Connection, production: str) -> bool:
    """Stop waiting for a production at this gatherer. Return whether it was known."""
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM confirmations WHERE production = %s", (production,))
        return cursor.rowcount > 0


def why_not_confirmed(connection: Connection, kind: DatabaseKind) -> str:
    """Explain why chunks past their age are kept: what they wait for, and what the operator can do."""
    is_bound = value_of(connection, IS_BOUND)
    if kind is DatabaseKind.PRODUCTION:
        if is_bound:
            return "the lake has not verified their hours: see kalshi-data lake status"
        return "production is bound to no lake: run the exporter, or kalshi-data lake bind, with KALSHI_LAKE set"
    known = confirming_productions(connection)
    if not known:
        return "no deduplicator has read this gatherer"
    names = ", ".join(f"{each.production or 'unnamed'} (last confirmation at {each.confirmed_at:%c})" for each in known)
    reason = f"not confirmed by each of {names}: kalshi-data confirmations --forget gives up one that no longer exists"
    return f"{reason}; or not in raw/ of the lake: see kalshi-data lake status --raw" if is_bound else reason


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """Return True if the lake that production is bound to has the chunk and the hours on both sides of it.

    Rows of the chunk may still have to be merged into a neighbouring hour.
    """
    return _bound_lake_has(connection, table.name, chunk, last_ingest_id, beside=timedelta(hours=1))


def is_merged_and_archived(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """Return True if every production that reads this gatherer has the chunk, and so has its bound lake, if any."""
    if not deduplicator_has_it(connection, table, chunk, last_ingest_id):
        return False
    if not value_of(connection, IS_BOUND):
        return True
    return _bound_lake_has(connection, _raw_name(connection, table), chunk, last_ingest_id, beside=timedelta(0))


def note_archive_loss(connection: Connection, table: ChunkedTable, chunk: Chunk) -> None:
    """Note the loss of a chunk that is dropped before raw/ has it, in the transaction that drops it.

    Hours of the chunk that were never written have no rows left to write and are forgotten. The other hours keep what
    was written and begin again at zero; the rows that came after it are lost.
    """
    of = {"name": _raw_name(connection, table), "start": chunk.range_start, "end": chunk.range_end}
    with connection.cursor() as cursor:
        cursor.execute(NOTE_LOSS, {**of, "table": table.name})
        cursor.execute(FORGET_UNWRITTEN, of)
        cursor.execute(BEGIN_ANEW, of)


def _bound_lake_has(connection: Connection, name: str, chunk: Chunk, last_ingest_id: int, beside: timedelta) -> bool:
    """Return True if the bound lake has surveyed the chunk's last row and every noted hour of the chunk is complete.

    An hour is complete when it was exported up to its last row and read back.
    """
    if int(value_of(connection, SURVEYED, (name,))) < last_ingest_id:
        return False
    span = (chunk.range_start - beside, chunk.range_end + beside)
    return int(value_of(connection, UNFINISHED, (name, *span))) == 0


def raw_name(table_name: str, system_identifier: int) -> str:
    """Return the name of a gatherer's table in the ledger of its own database."""
    return f"raw/{system_identifier}/{table_name}"


def _raw_name(connection: Connection, table: ChunkedTable) -> str:
    identifier = value_of(connection, "SELECT system_identifier FROM pg_control_system()")
    return raw_name(table.name, int(identifier))


class ArchiveLoss(NamedTuple):
    """An interval for which raw/ lacks rows of a gatherer."""

    table_name: str
    started_at: datetime
    ended_at: datetime


def archive_losses(connection: Connection) -> list[ArchiveLoss]:
    """Return the latest hundred archive losses of this gatherer."""
    with connection, connection.cursor() as cursor:
        cursor.execute(LOSSES)
        return [ArchiveLoss(*row) for row in cursor.fetchall()]


class LastResort(NamedTuple):
    """The chunks that may be dropped for the disk budget when no safe one is left, and how to note the loss."""

    may_go: Confirmation
    note: Callable[[Connection, ChunkedTable, Chunk], None]


CONFIRMATIONS: dict[DatabaseKind, Confirmation] = {
    DatabaseKind.TIMESERIES: is_merged_and_archived,
    DatabaseKind.PRODUCTION: lake_has_it,
}
LAST_RESORTS = {DatabaseKind.TIMESERIES: LastResort(deduplicator_has_it, note_archive_loss)}
