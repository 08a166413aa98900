"""One market, event or series, with everything that is known of it."""

from http import HTTPStatus

from flask import Blueprint, Response

from admin.answers import json_answer
from admin.database import Database
from admin.described import described
from admin.problems import ProblemError
from admin.queries import NoQuery, checked_path
from admin.schemas import Event, Market, QuarantinedRow, Series

MARKET = """
    SELECT row_to_json(found)::TEXT FROM (
        SELECT m.*, e.series_ticker, e.title AS event_title
        FROM markets AS m LEFT JOIN events AS e USING (event_ticker) WHERE m.ticker = %(name)s
    ) AS found
"""
EVENT = "SELECT row_to_json(e)::TEXT FROM events AS e WHERE event_ticker = %(name)s"
SERIES = "SELECT row_to_json(s)::TEXT FROM series AS s WHERE ticker = %(name)s"
QUARANTINED = """
    SELECT row_to_json(found)::TEXT FROM (
        SELECT quarantine_id, quarantined_at, table_name, reason, encode(payload, 'base64') AS payload_base64
        FROM quarantine WHERE quarantine_id = %(name)s
    ) AS found
"""


def things_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("things", __name__, url_prefix="/admin")

    @blueprint.get("/markets/<ticker>")
    @described("A market, with the exchange's own object in `details`.", query=NoQuery, answer=Market)
    def market(ticker: str) -> Response:
        return _one(database, MARKET, checked_path({"ticker": ticker})["ticker"], "market")

    @blueprint.get("/events/<event_ticker>")
    @described("An event, with the exchange's own object in `details`.", query=NoQuery, answer=Event)
    def event(event_ticker: str) -> Response:
        return _one(database, EVENT, checked_path({"event_ticker": event_ticker})["event_ticker"], "event")

    @blueprint.get("/series/<ticker>")
    @described("A series, with the exchange's own object in `details`.", query=NoQuery, answer=Series)
    def series(ticker: str) -> Response:
        return _one(database, SERIES, checked_path({"ticker": ticker})["ticker"], "series")

    @blueprint.get("/quarantine/<int(max=9223372036854775807):quarantine_id>")
    @described("What is in quarantine, with its bytes.", query=NoQuery, answer=QuarantinedRow)
    def quarantined(quarantine_id: int) -> Response:
        return _one(database, QUARANTINED, quarantine_id, "row in quarantine")

    return blueprint


def _one(database: Database, query: str, name: str | int, kind: str) -> Response:
    found = database.row(query, {"name": name})
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No {kind} {name} is known.")
    return json_answer(found[0].encode())
