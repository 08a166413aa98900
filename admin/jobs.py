"""Work that people may ask for, and that worker processes do."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from admin.answers import json_answer
from admin.changes import change
from admin.database import Cursor, Database
from admin.described import described
from admin.listings.values import asked_text, asked_time
from admin.problems import ProblemError
from admin.queries import ROW_NUMBER, TimeRange
from admin.request_body import body
from admin.schemas import Job
from app import jobs
from app.store.tables import PRODUCTION_TABLES
from app.tokens import Role

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


def jobs_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("jobs", __name__, url_prefix="/admin/jobs")
    for kind, (summary, schema) in ORDERS.items():
        _add(blueprint, database, kind, summary, schema)

    @blueprint.delete(f"/<{ROW_NUMBER}:job_id>")
    @described("Cancel a job that has not ended.", Role.OPERATE, answer=Job)
    def cancel(job_id: int) -> Response:
        def make(cursor: Cursor) -> dict[str, Any]:
            if not jobs.cancel(cursor, job_id):
                raise ProblemError(HTTPStatus.NOT_FOUND, f"No job {job_id} waits or runs.")
            return {"job_id": job_id}

        return json_answer(change(database, "cancel", {"job_id": job_id}, make))

    return blueprint


def _add(blueprint: Blueprint, database: Database, kind: str, summary: str, schema: type[Schema]) -> None:
    @blueprint.post(f"/{kind}", endpoint=kind)
    @described(summary, Role.OPERATE, body=schema, answer=Job, status=HTTPStatus.ACCEPTED)
    def ask_for() -> Response:
        asked = body(schema)
        parameters = {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asked.items()
        }
        asked_by = g.holder.name

        def make(cursor: Cursor) -> dict[str, Any]:
            return {"job_id": jobs.ask_for(cursor, kind, parameters, asked_by)}

        return json_answer(change(database, kind, parameters, make), HTTPStatus.ACCEPTED)
