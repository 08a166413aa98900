"""What people may tell the platform to do."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Blueprint, Response, g, request
from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import OneOf

from admin.answers import json_answer
from admin.changes import change
from admin.cursors import rewind
from admin.database import Cursor, Database
from admin.described import described
from admin.listings.values import asked_text, asked_time
from admin.problems import ProblemError
from admin.quarantine import discard, retry
from admin.schemas import Discarded, Job, Retried, Rewind
from app import jobs
from app.tokens import Role

TABLES = ("orderbook_deltas", "trades", "tickers", "orderbook_snapshots", "lifecycle_events")
BIGGEST = 9_223_372_036_854_775_807


class RewindBody(Schema):
    gatherer = fields.String(required=True, validate=asked_text().validators)
    table = fields.String(required=True, validate=OneOf(TABLES))
    dry_run = fields.Boolean(load_default=True)


class _Range(Schema):
    @validates_schema
    def check_order(self, data: dict[str, Any], **_: object) -> None:
        if data["from"] >= data["to"]:
            raise ValidationError("It is not before `to`.", "from")


def _range(name: str, **more: fields.Field[Any]) -> type[Schema]:
    times = {each: asked_time() for each in ("from", "to")}
    for each in times.values():
        each.required = True
    return type(name, (_Range,), {**times, **more})


BackfillBody = _range("Backfill", ticker=asked_text())
ExportBody = _range("Export", table=fields.String(required=True, validate=OneOf(TABLES)))


def operations_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("operations", __name__, url_prefix="/admin")
    _add_jobs(blueprint, database)

    @blueprint.post("/cursors/rewind")
    @described(
        "Read a gatherer's table again from its beginning. What production has stays as it is. Unless `dry_run` is "
        "false, it only tells what would be done.",
        Role.OPERATE,
        body=RewindBody,
        answer=Rewind,
    )
    def rewind_cursors() -> Response:
        asked = body(RewindBody)
        return json_answer(change(database, "rewind", asked, lambda cursor: rewind(cursor, **asked)))

    @blueprint.post(f"/quarantine/<int(max={BIGGEST}):quarantine_id>/retry")
    @described("Store a row that was in quarantine after all.", Role.OPERATE, answer=Retried)
    def retry_row(quarantine_id: int) -> Response:
        asked = {"quarantine_id": quarantine_id}
        return json_answer(change(database, "retry", asked, lambda cursor: retry(cursor, quarantine_id)))

    @blueprint.delete(f"/quarantine/<int(max={BIGGEST}):quarantine_id>")
    @described(
        "Throw away what is in quarantine. The record of changes keeps its bytes.", Role.OPERATE, answer=Discarded
    )
    def discard_row(quarantine_id: int) -> Response:
        asked = {"quarantine_id": quarantine_id}
        return json_answer(change(database, "discard", asked, lambda cursor: discard(cursor, quarantine_id)))

    return blueprint


def _add_jobs(blueprint: Blueprint, database: Database) -> None:
    @blueprint.post("/jobs/backfill")
    @described(
        "Fetch trades of a time by REST: of one market, or of all.",
        Role.OPERATE,
        body=BackfillBody,
        answer=Job,
        status=HTTPStatus.ACCEPTED,
    )
    def backfill() -> Response:
        return _accepted(database, "backfill", body(BackfillBody))

    @blueprint.post("/jobs/export")
    @described(
        "Write a table's hours to the lake again.",
        Role.OPERATE,
        body=ExportBody,
        answer=Job,
        status=HTTPStatus.ACCEPTED,
    )
    def export() -> Response:
        return _accepted(database, "export", body(ExportBody))

    @blueprint.delete(f"/jobs/<int(max={BIGGEST}):job_id>")
    @described("Cancel a job that has not ended.", Role.OPERATE, answer=Job)
    def cancel(job_id: int) -> Response:
        def make(cursor: Cursor) -> dict[str, Any]:
            if not jobs.cancel(cursor, job_id):
                raise ProblemError(HTTPStatus.NOT_FOUND, f"No job {job_id} waits or runs.")
            return {"job_id": job_id}

        return json_answer(change(database, "cancel", {"job_id": job_id}, make))


def _accepted(database: Database, kind: str, asked: dict[str, Any]) -> Response:
    parameters = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asked.items()}
    asked_by = g.holder.name

    def make(cursor: Cursor) -> dict[str, Any]:
        return {"job_id": jobs.ask_for(cursor, kind, parameters, asked_by)}

    return json_answer(change(database, kind, parameters, make), HTTPStatus.ACCEPTED)


def body(schema: type[Schema]) -> dict[str, Any]:
    """Of a request, as JSON."""
    if not request.is_json:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Its body is to be JSON, and said to be.")
    try:
        content = msgspec.json.decode(request.get_data())
    except (ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Its body is no JSON: {error}.") from error
    loaded: dict[str, Any] = schema().load(content)
    return loaded
