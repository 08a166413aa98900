"""What becomes of rows in quarantine."""

from base64 import b64encode
from http import HTTPStatus
from typing import Any

import psycopg2
from psycopg2 import sql

from admin.database import Cursor
from admin.problems import ProblemError
from app.merge.rule_steps import apply_rule
from app.merge.rules import RULES
from app.merge.statements import Statements

RULE_OF = {rule.table.name: rule for rule in RULES}
TAKE = "DELETE FROM quarantine WHERE quarantine_id = %s RETURNING table_name, reason, payload"
MAKE_ROOM = sql.SQL(
    "SELECT ensure_chunk(%s, {time}) FROM json_populate_record(NULL::{table}, convert_from(%s, 'UTF8')::JSON)"
)
STAGE = sql.SQL("""
    INSERT INTO staging ({columns})
    SELECT {columns} FROM json_populate_record(NULL::{table}, convert_from(%s, 'UTF8')::JSON)
""")
IS_STORED = "SELECT refused_row_is_stored(%s)"


def retry(cursor: Cursor, quarantine_id: int) -> dict[str, Any]:
    """Merge the row as a gatherer's would be. It is as it was: what did not fit once fits only when its table has
    changed, or the row was not the cause."""
    table_name, _, payload = _taken(cursor, quarantine_id)
    if (rule := RULE_OF.get(table_name)) is None:
        raise ProblemError(HTTPStatus.CONFLICT, "It is not a row of a table of records: only a person can judge it.")
    names = {
        "table": sql.Identifier(rule.table.name),
        "time": sql.Identifier(rule.table.time_column),
        "columns": sql.SQL(", ").join(map(sql.Identifier, rule.table.column_names)),
    }
    statements = Statements(rule)
    try:
        # Before anything of the row is written: readers pass over what is committed out of the order of ids.
        cursor.execute(statements.lock_table)
        cursor.execute(MAKE_ROOM.format(**names), (rule.table.name, payload))
        cursor.execute(statements.create_staging)
        cursor.execute(STAGE.format(**names), (payload,))
        new = apply_rule(cursor, rule, statements, is_sifted=False)
        cursor.execute(IS_STORED, (quarantine_id,))
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProblemError(HTTPStatus.CONFLICT, f"It does not fit: {reason}") from error
    return {"stored": new == 1}


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
