"""Reading a gatherer's table again."""

from http import HTTPStatus
from typing import Any

from admin.database import Cursor
from admin.problems import ProblemError

# Whoever merges it now cannot advance a cursor that was moved, and reads where it stands.
CURSORS = """
    SELECT shard, ingest_id::TEXT, rows_read, received_through FROM sync_cursors
    WHERE gatherer = %s AND table_name = %s ORDER BY shard FOR UPDATE
"""
REWIND = """
    UPDATE sync_cursors SET ingest_id = 0, probe = NULL, received_through = NULL, updated_at = now()
    WHERE gatherer = %s AND table_name = %s
"""


def rewind(cursor: Cursor, gatherer: str, table: str, dry_run: bool) -> dict[str, Any]:
    cursor.execute(CURSORS, (gatherer, table))
    found = [
        {"shard": shard, "ingest_id": ingest_id, "rows_read": rows_read, "received_through": received_through}
        for shard, ingest_id, rows_read, received_through in cursor.fetchall()
    ]
    if not found:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no cursor of {table} of {gatherer}.")
    if not dry_run:
        cursor.execute(REWIND, (gatherer, table))
    return {"dry_run": dry_run, "cursors": found}
