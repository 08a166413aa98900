"""The state of the platform in one sentence, as the status page and `kalshi-data status` give it.

In: the production database. Out: the verdict as JSON. It is read at most once per period, however many ask.
"""

from collections.abc import Callable

import msgspec
from flask import Blueprint, Response

from admin.api.lists import json_answer
from admin.api.schemas import StatusSchema
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from app.ops.endpoint import NoQuery, endpoint
from app.settings import Settings
from app.status.readings import named_gatherers, read_complete, read_verdict
from app.status.verdict import StatusVerdict

READ_SECONDS = 4.0
# Hours are judged once a minute at most.
COMPLETE_SECONDS = 30.0

ReadVerdict = Callable[[], StatusVerdict]


def verdict_cache(database: RequestDatabase, settings: Settings) -> ReadVerdict:
    named = named_gatherers(settings)
    complete = TtlCache(lambda: read_complete(database.dicts), COMPLETE_SECONDS)
    return TtlCache(lambda: read_verdict(database.dicts, named, complete), READ_SECONDS)


def status_blueprint(verdict: ReadVerdict) -> Blueprint:
    blueprint = Blueprint("status", __name__, url_prefix="/admin")

    @blueprint.get("/status")
    @endpoint("Whether everything is all right, in one sentence.", query=NoQuery, answer=StatusSchema)
    def status() -> Response:
        return json_answer(msgspec.json.encode(verdict()))

    return blueprint
