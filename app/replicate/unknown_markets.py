"""Markets in production's records that no gatherer has described.

workers/deduplicator/market_fetcher.py asks REST for them.
"""

import io
from collections.abc import Collection, Mapping, Sequence

import psycopg2.extensions
from psycopg2 import sql

from app.postgres.connection import Connection
from app.replicate.follower import METADATA_COPIES, CopyStatements
from app.storage.arrivals import leave_out_compressed, tables_with_noted_compression
from app.storage.binary_copy import copy_bytes
from app.storage.tables import Row, Table

# Order books are left out: gatherers choose the markets whose books they record, so they know them.
TABLES = ("trades", "tickers", "lifecycle_events")
ALL_COMPRESSED = 2**63 - 1  # beyond every row: no row after it is compressed
ABOUT_EVENTS = ("event_lifecycle", "event_fee_update")

SEEN = sql.SQL("SELECT ticker FROM {table} WHERE ingest_id > {after} AND ingest_id <= {through} AND NOT {about_events}")
UNKNOWN_TICKERS = sql.SQL("""
    SELECT DISTINCT seen.ticker FROM ({seen}) AS seen
    WHERE NOT EXISTS (SELECT FROM markets AS m WHERE m.ticker = seen.ticker)
        AND seen.ticker <> ALL (%(but)s) AND seen.ticker NOT LIKE ALL (%(but_like)s)
    LIMIT %(most)s
""")
# Uncompressed rows are found through their index, and where the compressed ones end is known.
END_PAST_COMPRESSED = sql.SQL("""
    SELECT greatest(coalesce(max(ingest_id), 0), (SELECT compressed_through FROM chunked_tables WHERE table_name = %s))
    FROM {table}
""")
END = sql.SQL("SELECT coalesce(max(ingest_id), 0) FROM {table}")

Ends = Mapping[str, int]  # the last ingest_id, by table


def table_ends(connection: Connection) -> Ends:
    noted = tables_with_noted_compression(connection)
    with connection, connection.cursor() as cursor:
        return {table: _end(cursor, table, is_noted=table in noted) for table in TABLES}


def unknown_tickers(
    connection: Connection, after: Ends, through: Ends, but: Collection[str], but_like: Sequence[str], most: int
) -> list[str]:
    """Return the tickers of the records in between that belong to no known market."""
    seen = sql.SQL(" UNION ").join(_seen(table, after[table], through[table]) for table in TABLES)
    with connection, connection.cursor() as cursor:
        cursor.execute(UNKNOWN_TICKERS.format(seen=seen), {"but": list(but), "but_like": list(but_like), "most": most})
        return [ticker for (ticker,) in cursor]


def _end(cursor: psycopg2.extensions.cursor, table: str, *, is_noted: bool) -> int:
    if is_noted:
        leave_out_compressed(cursor, table, ALL_COMPRESSED)
    query = END_PAST_COMPRESSED if is_noted else END
    cursor.execute(query.format(table=sql.Identifier(table)), (table,) if is_noted else None)
    (end,) = cursor.fetchone() or (0,)
    return int(end)


def is_known(connection: Connection, table: Table, ticker: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} = %s)")
    with connection, connection.cursor() as cursor:
        cursor.execute(query.format(sql.Identifier(table.name), sql.Identifier(table.key[0])), (ticker,))
        return cursor.fetchone() == (True,)


def store_metadata(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Store metadata like a gatherer's: the newest row wins."""
    statements = CopyStatements(next(copy for copy in METADATA_COPIES if copy.source is table))
    with connection, connection.cursor() as cursor:
        cursor.execute(statements.create_staging)
        cursor.copy_expert(statements.load_without_ids, io.BytesIO(copy_bytes(table, rows)))
        cursor.execute(statements.lock)
        cursor.execute(statements.merge, {"gatherer": None})


def _seen(table: str, after: int, through: int) -> sql.Composed:
    kinds = sql.SQL(", ").join(map(sql.Literal, ABOUT_EVENTS))
    is_about_event = sql.SQL("event_type IN ({})").format(kinds) if table == "lifecycle_events" else sql.SQL("FALSE")
    return SEEN.format(
        table=sql.Identifier(table),
        after=sql.Literal(after),
        through=sql.Literal(through),
        about_events=is_about_event,
    )
