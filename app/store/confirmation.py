"""Whether a chunk's rows are safe elsewhere, so that it may be dropped here."""

from collections.abc import Callable

from psycopg2 import sql

from app.databases import Kind
from app.postgres.connection import Connection, value_of
from app.store.chunks import Chunk, ChunkedTable

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: the deduplicator has committed everything up to the chunk's last row."""
    query = "SELECT coalesce(max(ingest_id), 0) FROM confirmations WHERE table_name = %s"
    return int(value_of(connection, query, (table.name,))) >= last_ingest_id


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, _last_ingest_id: int) -> bool:
    """In production: each hour of the chunk that has rows was exported up to its last row, and read back."""
    missing = sql.SQL("""
        SELECT count(*)
        FROM (
            SELECT date_bin('1 hour', {time}, 'epoch') AS hour, max(ingest_id) AS last
            FROM {table} WHERE {time} >= %s AND {time} < %s GROUP BY 1
        ) AS filled
        LEFT JOIN exports
            ON exports.table_name = %s AND exports.hour = filled.hour AND exports.verified_at IS NOT NULL
        WHERE coalesce(exports.through_ingest_id, 0) < filled.last
    """).format(time=sql.Identifier(table.time_column), table=sql.Identifier(table.name))
    return int(value_of(connection, missing, (chunk.range_start, chunk.range_end, table.name))) == 0


CONFIRMATIONS: dict[Kind, Confirmation] = {Kind.TIMESERIES: deduplicator_has_it, Kind.PRODUCTION: lake_has_it}
