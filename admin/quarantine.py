"""What becomes of rows in quarantine."""

from base64 import b64encode
from http import HTTPStatus
from typing import Any

import psycopg2
from psycopg2 import sql

from admin.database import Cursor
from admin.problems import ProblemError
from app.store.tables import (
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_TICKERS,
    PRODUCTION_TRADES,
)

RECORDS = {
    table.name: table
    for table in (
        PRODUCTION_ORDERBOOK_DELTAS,
        PRODUCTION_TRADES,
        PRODUCTION_TICKERS,
        PRODUCTION_ORDERBOOK_SNAPSHOTS,
        PRODUCTION_LIFECYCLE_EVENTS,
    )
}
TAKE = "DELETE FROM quarantine WHERE quarantine_id = %s RETURNING table_name, reason, payload"
MAKE_ROOM = sql.SQL(
    "SELECT ensure_chunk(%s, {time}) FROM json_populate_record(NULL::{table}, convert_from(%s, 'UTF8')::JSON)"
)
STORE = sql.SQL("""
    INSERT INTO {table} ({columns})
    SELECT {columns} FROM json_populate_record(NULL::{table}, convert_from(%s, 'UTF8')::JSON)
    ON CONFLICT DO NOTHING
""")
IS_STORED = "SELECT refused_row_is_stored(%s)"


def retry(cursor: Cursor, quarantine_id: int) -> dict[str, Any]:
    """As it is: what did not fit once fits only when its table has changed, or the row was not the cause."""
    table_name, _, payload = _taken(cursor, quarantine_id)
    if (table := RECORDS.get(table_name)) is None:
        raise ProblemError(HTTPStatus.CONFLICT, "It is not a row of a table of records: only a person can judge it.")
    names = {
        "table": sql.Identifier(table.name),
        "time": sql.Identifier(table.time_column),
        "columns": sql.SQL(", ").join(map(sql.Identifier, table.column_names)),
    }
    try:
        cursor.execute(MAKE_ROOM.format(**names), (table.name, payload))
        cursor.execute(STORE.format(**names), (payload,))
        stored = cursor.rowcount == 1
        cursor.execute(IS_STORED, (quarantine_id,))
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProblemError(HTTPStatus.CONFLICT, f"It does not fit: {reason}") from error
    return {"stored": stored}


def discard(cursor: Cursor, quarantine_id: int) -> dict[str, Any]:
    table_name, reason, payload = _taken(cursor, quarantine_id)
    return {"table_name": table_name, "reason": reason, "payload_base64": b64encode(payload).decode()}


def _taken(cursor: Cursor, quarantine_id: int) -> tuple[str, str, bytes]:
    cursor.execute(TAKE, (quarantine_id,))
    found = cursor.fetchone()
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No row in quarantine {quarantine_id} is known.")
    table_name, reason, payload = found
    return table_name, reason, bytes(payload)
