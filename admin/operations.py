"""What people may tell the platform to do, at once."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from admin.answers import json_answer
from admin.changes import change
from admin.cursors import rewind
from admin.database import Cursor, Database
from admin.described import described
from admin.jobs import TABLES
from admin.listings.values import asked_text
from admin.quarantine import discard, retry
from admin.queries import ROW_NUMBER
from admin.request_body import body
from admin.schemas import Discarded, Retried, Rewind
from app.tokens import Role


class RewindBody(Schema):
    gatherer = fields.String(required=True, validate=asked_text().validators)
    table = fields.String(required=True, validate=OneOf(TABLES))
    dry_run = fields.Boolean(load_default=True)


def operations_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("operations", __name__, url_prefix="/admin")

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

    @blueprint.post(f"/quarantine/<{ROW_NUMBER}:quarantine_id>/retry")
    @described("Store a row that was in quarantine after all.", Role.OPERATE, answer=Retried)
    def retry_row(quarantine_id: int) -> Response:
        return _judged(database, retry, quarantine_id)

    @blueprint.delete(f"/quarantine/<{ROW_NUMBER}:quarantine_id>")
    @described(
        "Throw away what is in quarantine. The record of changes keeps its bytes.", Role.OPERATE, answer=Discarded
    )
    def discard_row(quarantine_id: int) -> Response:
        return _judged(database, discard, quarantine_id)

    return blueprint


def _judged(database: Database, judge: Callable[[Cursor, int], dict[str, Any]], quarantine_id: int) -> Response:
    asked = {"quarantine_id": quarantine_id}
    return json_answer(change(database, judge.__name__, asked, lambda cursor: judge(cursor, quarantine_id)))
