"""Orders of operators: jobs for worker processes, rewinding a cursor, and rows in quarantine.

Every order is recorded with its author, in the transaction that carries it out (admin/web/database.py).
"""

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import psycopg2
from flask import Blueprint, Response, g
from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from psycopg2 import sql

from admin.api.lists import json_answer
from admin.api.paging import asked_text, asked_time
from admin.api.schemas import DiscardedSchema, JobSchema, RetriedSchema, RewindSchema, body
from admin.web.database import Cursor, RequestDatabase, change
from app.merge.rules import RULES
from app.merge.statements import MergeStatements, apply_rule
from app.ops.endpoint import ROW_NUMBER, TimeRange, endpoint
from app.ops.problems import ProblemError
from app.runtime import jobs
from app.runtime.secrets import TokenRole
from app.storage.tables import PRODUCTION_TABLES

# Jobs: work that operators ask for, and that worker processes do.

TABLES = tuple(table.name for table in PRODUCTION_TABLES)


def _range(name: str, **more: fields.Field[Any]) -> type[Schema]:
    times = {each: asked_time() for each in ("from", "to")}
    for each in times.values():
        each.required = True
    return type(name, (TimeRange,), {**times, **more})


ORDERS = {
    jobs.BACKFILL: (
        "Fetch trades of a time by REST: of one market, or of all.",
        _range("Backfill", ticker=asked_text()),
    ),
    jobs.EXPORT: (
        "Write a table's hours to the lake again, and read them back.",
        _range("Export", table=fields.String(required=True, validate=OneOf(TABLES))),
    ),
}


def jobs_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("jobs", __name__, url_prefix="/admin/jobs")
    for kind, (summary, schema) in ORDERS.items():
        _add(blueprint, database, kind, summary, schema)

    @blueprint.delete(f"/<{ROW_NUMBER}:job_id>")
    @endpoint("Cancel a job that has not ended.", TokenRole.OPERATE, answer=JobSchema)
    def cancel(job_id: int) -> Response:
        def make(cursor: Cursor) -> dict[str, Any]:
            if not jobs.cancel(cursor, job_id):
                raise ProblemError(HTTPStatus.NOT_FOUND, f"No job {job_id} is waiting or running.")
            return {"job_id": job_id}

        return json_answer(change(database, "cancel", {"job_id": job_id}, make))

    return blueprint


def _add(blueprint: Blueprint, database: RequestDatabase, kind: str, summary: str, schema: type[Schema]) -> None:
    @blueprint.post(f"/{kind}", endpoint=kind)
    @endpoint(summary, TokenRole.OPERATE, body=schema, answer=JobSchema, status=HTTPStatus.ACCEPTED)
    def ask_for() -> Response:
        asked = body(schema)
        parameters = {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asked.items()
        }
        asked_by = g.holder.name

        def make(cursor: Cursor) -> dict[str, Any]:
            return {"job_id": jobs.ask_for(cursor, kind, parameters, asked_by)}

        return json_answer(change(database, kind, parameters, make), HTTPStatus.ACCEPTED)


# Reading a gatherer's table again from its beginning.

# A deduplicator that merges the table now cannot advance a cursor that was moved, and reads on from the new position.
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
        raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no cursor for {table} of {gatherer}.")
    if not dry_run:
        cursor.execute(REWIND, (gatherer, table))
    return {"dry_run": dry_run, "cursors": found}


# Retrying or discarding rows in quarantine.

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
    """Merge the row as if a gatherer had delivered it, unchanged. It fits now only if its table has changed, or if the
    row was not the cause of the refusal."""
    table_name, _, payload = _taken(cursor, quarantine_id)
    if (rule := RULE_OF.get(table_name)) is None:
        raise ProblemError(HTTPStatus.CONFLICT, "The row belongs to no table of records: it cannot be retried.")
    names = {
        "table": sql.Identifier(rule.table.name),
        "time": sql.Identifier(rule.table.time_column),
        "columns": sql.SQL(", ").join(map(sql.Identifier, rule.table.column_names)),
    }
    statements = MergeStatements(rule)
    try:
        # Taken before any of the row's values is written: readers by ingest_id would miss a row that commits out of
        # order.
        cursor.execute(statements.lock_table)
        cursor.execute(MAKE_ROOM.format(**names), (rule.table.name, payload))
        cursor.execute(statements.create_staging)
        cursor.execute(STAGE.format(**names), (payload,))
        new = apply_rule(cursor, rule, statements, is_sifted=False)
        cursor.execute(IS_STORED, (quarantine_id,))
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProblemError(HTTPStatus.CONFLICT, f"The row does not fit: {reason}") from error
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


class RewindBody(Schema):
    gatherer = fields.String(required=True, validate=asked_text().validators)
    table = fields.String(required=True, validate=OneOf(TABLES))
    dry_run = fields.Boolean(load_default=True)


def operations_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("operations", __name__, url_prefix="/admin")

    @blueprint.post("/cursors/rewind")
    @endpoint(
        "Read a gatherer's table again from its beginning. Rows in production stay. Unless `dry_run` is "
        "false, it only reports what would be done.",
        TokenRole.OPERATE,
        body=RewindBody,
        answer=RewindSchema,
    )
    def rewind_cursors() -> Response:
        asked = body(RewindBody)
        return json_answer(change(database, "rewind", asked, lambda cursor: rewind(cursor, **asked)))

    @blueprint.post(f"/quarantine/<{ROW_NUMBER}:quarantine_id>/retry")
    @endpoint("Store a quarantined row.", TokenRole.OPERATE, answer=RetriedSchema)
    def retry_row(quarantine_id: int) -> Response:
        return _judged(database, retry, quarantine_id)

    @blueprint.delete(f"/quarantine/<{ROW_NUMBER}:quarantine_id>")
    @endpoint(
        "Discard a quarantined row. The record of changes keeps its bytes.",
        TokenRole.OPERATE,
        answer=DiscardedSchema,
    )
    def discard_row(quarantine_id: int) -> Response:
        return _judged(database, discard, quarantine_id)

    return blueprint


def _judged(database: RequestDatabase, judge: Callable[[Cursor, int], dict[str, Any]], quarantine_id: int) -> Response:
    asked = {"quarantine_id": quarantine_id}
    return json_answer(change(database, judge.__name__, asked, lambda cursor: judge(cursor, quarantine_id)))
