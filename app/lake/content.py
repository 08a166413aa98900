"""What rows say, whatever their order: how many there are, and the sum of their hashes. PostgreSQL and DuckDB each
compute it of what they have themselves: nothing of how rows are carried from one to the other is taken on trust."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
from psycopg2 import sql

from app.postgres.connection import Connection
from app.store.arrivals import arrivals
from app.store.tables import Column, ColumnType, Table

HASH = "md5(concat_ws(chr(31), {values}))"
IN_POSTGRES = "SELECT count(*), coalesce(sum(('x' || left({hash}, 15))::BIT(60)::BIGINT), 0)::TEXT"
IN_DUCKDB = "SELECT count(*), coalesce(sum(('0x' || left({hash}, 15))::BIGINT), 0)::TEXT"
# Chunks were dropped, or the database was put back to an earlier state: within the hour, or as near to it as copies of
# its rows may be.
LACKS_ROWS = "complete_since(%(table)s, %(hour)s + INTERVAL '1 hour' + %(window)s) > %(hour)s - %(window)s"


class Content(NamedTuple):
    rows: int
    hash_sum: str


def content_of_file(session: duckdb.DuckDBPyConnection, table: Table, path: Path) -> Content:
    figures = IN_DUCKDB.format(hash=_hash(table))
    rows, hash_sum = session.execute(f"{figures} FROM read_parquet(?)", [str(path)]).fetchall()[0]
    return Content(rows, hash_sum)


def content_in_database(
    session: Connection, table: Table, hour: datetime, window: timedelta
) -> tuple[Content, int, bool]:
    """With the last row's ingest_id, and whether rows may be missing. The session is one for arrivals()."""
    query = sql.SQL("""
        {figures}, coalesce(max(ingest_id), 0), {lacks_rows}
        FROM {table} WHERE {time} >= %(hour)s AND {time} < %(hour)s + INTERVAL '1 hour'
    """).format(
        figures=sql.SQL(IN_POSTGRES.format(hash=_hash(table))),
        lacks_rows=sql.SQL(LACKS_ROWS),
        table=sql.Identifier(table.name),
        time=sql.Identifier(table.time_column),
    )
    with arrivals(session, table.name) as cursor:
        cursor.execute(query, {"table": table.name, "hour": hour, "window": window})
        rows, hash_sum, last_ingest_id, lacks_rows = cursor.fetchone() or (0, "0", 0, False)
    return Content(rows, hash_sum), last_ingest_id, lacks_rows


def _hash(table: Table) -> str:
    return HASH.format(values=", ".join(f"coalesce({_text(column)}, 'null')" for column in table.columns))


def _text(column: Column) -> str:
    """As both databases write it."""
    if column.type in {ColumnType.BIGINT_ARRAY, ColumnType.INTEGER_ARRAY}:
        return f"array_to_string({column.name}, ',')"
    if column.type is ColumnType.BOOLEAN:
        return f"{column.name}::INTEGER::TEXT"
    return f"{column.name}::TEXT"
