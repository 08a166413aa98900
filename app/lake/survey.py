"""Which hours have rows that were not there before: a table is read on by ingest_id, and only its times."""

from datetime import datetime
from typing import NamedTuple

from psycopg2 import sql

from app.postgres.connection import Connection
from app.store.compression import arrivals_from, is_disturbed, tables_with_noted_compression
from app.store.tables import Table

ROWS_AT_ONCE = 500_000
HOURS = sql.SQL("""
    SELECT date_bin('1 hour', {time}, 'epoch'), max(ingest_id), count(*)
    FROM (SELECT {time}, ingest_id FROM {table} WHERE ingest_id > %s ORDER BY ingest_id LIMIT %s) AS ahead
    GROUP BY 1
""")


class Changes(NamedTuple):
    after_ingest_id: int
    through_ingest_id: int
    hours: list[tuple[datetime, int]]  # each with its last row
    has_more: bool


def survey(session: Connection, table: Table, after_ingest_id: int, rows_at_once: int = ROWS_AT_ONCE) -> Changes:
    """The session is one for arrivals()."""
    query = HOURS.format(time=sql.Identifier(table.time_column), table=sql.Identifier(table.name))
    noted = tables_with_noted_compression(session)
    while True:
        with arrivals_from(session, table.name, after_ingest_id + 1, noted) as (cursor, reach):
            cursor.execute(query, (after_ingest_id, rows_at_once))
            found = cursor.fetchall()
        if not is_disturbed(session, reach):
            break
    through_ingest_id = max((last for _, last, _ in found), default=after_ingest_id)
    has_more = sum(rows for _, _, rows in found) == rows_at_once
    return Changes(after_ingest_id, through_ingest_id, [(hour, last) for hour, last, _ in found], has_more)
