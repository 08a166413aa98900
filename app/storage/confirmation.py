"""Whether a chunk's rows are safe elsewhere, so that it may be dropped here.

A gatherer's chunk may go when every production that reads it has committed its rows and, where its database is bound
to a lake, raw/ of that one has them too. Without room for more, the second is given up before recording is: production
has each event, and raw/ only tells how it came in. So a lake that cannot be reached for days costs copies and never an
event, while a disk that fills up would cost what the exchange says next. What raw/ lacks is noted in archive_losses.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from app.lake.layout import raw_name
from app.postgres.connection import Connection, value_of
from app.postgres.databases import DatabaseKind


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
# Whoever is just reading such an hour finds that it is not the hour any more.
BEGIN_ANEW = f"""
    UPDATE exports SET through_ingest_id = 0, verified_at = NULL
    WHERE {OF_CHUNK} AND (verified_at IS NULL OR through_ingest_id < changed_through)
"""  # noqa: S608

# At a gatherer: up to where every production that reads it has committed a table, but for those that it was told to
# forget.
CONFIRMED_BY_ALL = """
    SELECT coalesce(min(coalesce(ingest_id, 0)), 0)
    FROM (SELECT DISTINCT production FROM confirmations) AS known
    LEFT JOIN (SELECT * FROM confirmations WHERE table_name = {table}) AS confirmed USING (production)
"""
# By which a gatherer tells a production from others.
NAME_OF_PRODUCTION = "SELECT system_identifier || '/' || current_database() FROM pg_control_system()"

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: every production that reads it has committed everything up to the chunk's last row."""
    return int(value_of(connection, CONFIRMED_BY_ALL.format(table="%s"), (table.name,))) >= last_ingest_id


class ConfirmingProduction(NamedTuple):
    production: str  # '': from before productions were told apart
    confirmed_at: datetime
    tables: int


def confirming_productions(connection: Connection) -> list[ConfirmingProduction]:
    """At a gatherer: the productions that read it, the one that was silent longest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT production, max(confirmed_at), count(*) FROM confirmations GROUP BY 1 ORDER BY 2")
        return [ConfirmingProduction(*row) for row in cursor.fetchall()]


def forget_production(connection: Connection, production: str) -> bool:
    """Have a gatherer not wait for a production any more. Return whether it was known."""
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM confirmations WHERE production = %s", (production,))
        return cursor.rowcount > 0


def why_not_confirmed(connection: Connection, kind: DatabaseKind) -> str:
    """For whoever wonders why chunks stay that are past their age: whom they wait for, and what to do."""
    is_bound = value_of(connection, IS_BOUND)
    if kind is DatabaseKind.PRODUCTION:
        if is_bound:
            return "the lake has not verified them: see kalshi-data lake status"
        return "production is bound to no lake: run the exporter, or kalshi-data lake bind, with KALSHI_LAKE set"
    known = confirming_productions(connection)
    if not known:
        return "no deduplicator has read this gatherer"
    names = ", ".join(f"{each.production or 'unnamed'} (last heard of at {each.confirmed_at:%c})" for each in known)
    reason = f"not confirmed by each of {names}: kalshi-data confirmations --forget gives up one that is no more"
    return f"{reason}; or not in raw/ of the lake: see kalshi-data lake status --raw" if is_bound else reason


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """In production: the lake that it is bound to has the chunk, and the hours on both sides of it, which a row of the
    chunk may still have to be merged into."""
    return _bound_lake_has(connection, table.name, chunk, last_ingest_id, beside=timedelta(hours=1))


def is_merged_and_archived(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: every production that reads it has the chunk, and so has the lake that it is bound to, if any."""
    if not deduplicator_has_it(connection, table, chunk, last_ingest_id):
        return False
    if not value_of(connection, IS_BOUND):
        return True
    return _bound_lake_has(connection, _raw_name(connection, table), chunk, last_ingest_id, beside=timedelta(0))


def note_archive_loss(connection: Connection, table: ChunkedTable, chunk: Chunk) -> None:
    """Of a chunk that goes before raw/ has it, in the transaction that drops it. Of its hours, those that were never
    written have no rows that could be; the others have what was written, and what came after that is lost."""
    of = {"name": _raw_name(connection, table), "start": chunk.range_start, "end": chunk.range_end}
    with connection.cursor() as cursor:
        cursor.execute(NOTE_LOSS, {**of, "table": table.name})
        cursor.execute(FORGET_UNWRITTEN, of)
        cursor.execute(BEGIN_ANEW, of)


def _bound_lake_has(connection: Connection, name: str, chunk: Chunk, last_ingest_id: int, beside: timedelta) -> bool:
    """The survey of the bound lake has seen the chunk's last row, and each hour that it noted of the chunk was exported
    there up to its last row, and read back."""
    if int(value_of(connection, SURVEYED, (name,))) < last_ingest_id:
        return False
    span = (chunk.range_start - beside, chunk.range_end + beside)
    return int(value_of(connection, UNFINISHED, (name, *span))) == 0


def _raw_name(connection: Connection, table: ChunkedTable) -> str:
    identifier = value_of(connection, "SELECT system_identifier FROM pg_control_system()")
    return raw_name(table.name, int(identifier))


class ArchiveLoss(NamedTuple):
    """A time of which raw/ lacks rows of a gatherer."""

    table_name: str
    started_at: datetime
    ended_at: datetime


def archive_losses(connection: Connection) -> list[ArchiveLoss]:
    """At a gatherer: the latest hundred."""
    with connection, connection.cursor() as cursor:
        cursor.execute(LOSSES)
        return [ArchiveLoss(*row) for row in cursor.fetchall()]


class LastResort(NamedTuple):
    """What may go for the disk budget when nothing that is safe is left, and how that is noted."""

    may_go: Confirmation
    note: Callable[[Connection, ChunkedTable, Chunk], None]


CONFIRMATIONS: dict[DatabaseKind, Confirmation] = {
    DatabaseKind.TIMESERIES: is_merged_and_archived,
    DatabaseKind.PRODUCTION: lake_has_it,
}
LAST_RESORTS = {DatabaseKind.TIMESERIES: LastResort(deduplicator_has_it, note_archive_loss)}
