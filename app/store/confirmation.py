"""Whether a chunk's rows are safe elsewhere, so that it may be dropped here."""

from collections.abc import Callable

from app.databases import Kind
from app.postgres.connection import Connection, value_of
from app.store.chunks import Chunk, ChunkedTable

OF_BOUND_LAKE = "lake_id = (SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL)"

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: the deduplicator has committed everything up to the chunk's last row."""
    query = "SELECT coalesce(max(ingest_id), 0) FROM confirmations WHERE table_name = %s"
    return int(value_of(connection, query, (table.name,))) >= last_ingest_id


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """In production: the survey of the lake that it is bound to has seen the chunk's last row, and each hour that it
    noted of the chunk was exported there up to its last row, and read back. So were the hours on both sides of it,
    which a row of the chunk may still have to be merged into."""
    surveyed = f"""
        SELECT coalesce(max(ingest_id), 0) FROM export_cursors WHERE {OF_BOUND_LAKE} AND table_name = %s
    """  # noqa: S608 - a constant
    if int(value_of(connection, surveyed, (table.name,))) < last_ingest_id:
        return False
    missing = f"""
        SELECT count(*) FROM exports
        WHERE {OF_BOUND_LAKE} AND table_name = %s AND hour >= %s - INTERVAL '1 hour' AND hour < %s + INTERVAL '1 hour'
            AND (verified_at IS NULL OR through_ingest_id < changed_through)
    """  # noqa: S608
    return int(value_of(connection, missing, (table.name, chunk.range_start, chunk.range_end))) == 0


CONFIRMATIONS: dict[Kind, Confirmation] = {Kind.TIMESERIES: deduplicator_has_it, Kind.PRODUCTION: lake_has_it}
