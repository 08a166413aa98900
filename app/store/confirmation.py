"""Whether a chunk's rows are safe elsewhere, so that it may be dropped here."""

from collections.abc import Callable

from app.databases import Kind
from app.postgres.connection import Connection, value_of
from app.store.chunks import Chunk, ChunkedTable

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: the deduplicator has committed everything up to the chunk's last row."""
    query = "SELECT coalesce(max(ingest_id), 0) FROM confirmations WHERE table_name = %s"
    return int(value_of(connection, query, (table.name,))) >= last_ingest_id


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """In production: the lake's survey has seen the chunk's last row, and each hour that it noted of the chunk was
    exported up to its last row, and read back."""
    surveyed = "SELECT coalesce(max(ingest_id), 0) FROM export_cursors WHERE table_name = %s"
    if int(value_of(connection, surveyed, (table.name,))) < last_ingest_id:
        return False
    missing = """
        SELECT count(*) FROM exports
        WHERE table_name = %s AND hour >= %s AND hour < %s
            AND (verified_at IS NULL OR through_ingest_id < changed_through)
    """
    return int(value_of(connection, missing, (table.name, chunk.range_start, chunk.range_end))) == 0


CONFIRMATIONS: dict[Kind, Confirmation] = {Kind.TIMESERIES: deduplicator_has_it, Kind.PRODUCTION: lake_has_it}
