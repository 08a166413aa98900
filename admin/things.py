"""One market, event or series, with everything that is known of it."""

from http import HTTPStatus
from typing import NamedTuple

from flask import Blueprint, Response
from marshmallow import Schema

from admin.answers import json_answer
from admin.database import Database
from admin.described import described
from admin.problems import ProblemError
from admin.queries import ROW_NUMBER, NoQuery, checked_path
from admin.schemas import Event, Market, QuarantinedRow, Series

MARKET = """
    SELECT m.*, e.series_ticker, e.title AS event_title, quote.*
    FROM markets AS m
        LEFT JOIN events AS e USING (event_ticker)
        LEFT JOIN (
            SELECT
                readable.dollars(yes_bid_e6)::TEXT AS yes_bid, readable.dollars(yes_ask_e6)::TEXT AS yes_ask,
                readable.dollars(price_e6)::TEXT AS last_price, readable.contracts(volume_e2)::TEXT AS volume,
                yes_bid_e6, yes_ask_e6, price_e6 AS last_price_e6, volume_e2, exchange_ts AS quoted_at
            FROM tickers WHERE ticker = %(name)s ORDER BY exchange_ts DESC, ingest_id DESC LIMIT 1
        ) AS quote ON TRUE
    WHERE m.ticker = %(name)s
"""
QUARANTINED = """
    SELECT quarantine_id, quarantined_at, table_name, reason, encode(payload, 'base64') AS payload_base64
    FROM quarantine WHERE quarantine_id = %(name)s
"""


class Thing(NamedTuple):
    path: str
    name: str
    summary: str
    query: str
    answer: type[Schema]


THINGS = (
    Thing(
        "/markets/<ticker>",
        "market",
        "A market with its last quote, and with the exchange's own object in `details`.",
        MARKET,
        Market,
    ),
    Thing(
        "/events/<event_ticker>",
        "event",
        "An event, with the exchange's own object in `details`.",
        "SELECT * FROM events WHERE event_ticker = %(name)s",
        Event,
    ),
    Thing(
        "/series/<ticker>",
        "series",
        "A series, with the exchange's own object in `details`.",
        "SELECT * FROM series WHERE ticker = %(name)s",
        Series,
    ),
    Thing(
        f"/quarantine/<{ROW_NUMBER}:quarantine_id>",
        "quarantined row",
        "What is in quarantine, with its bytes.",
        QUARANTINED,
        QuarantinedRow,
    ),
)


def things_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("things", __name__, url_prefix="/admin")
    for thing in THINGS:
        _add(blueprint, database, thing)
    return blueprint


def json_of(database: Database, query: str, name: str | int, kind: str) -> str:
    """Of the row that the query finds."""
    found = database.row(f"SELECT row_to_json(found)::TEXT FROM ({query}) AS found", {"name": name})  # noqa: S608 - ours
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No {kind} {name} is known.")
    text: str = found[0]
    return text


def _add(blueprint: Blueprint, database: Database, thing: Thing) -> None:
    @blueprint.get(thing.path, endpoint=thing.name.replace(" ", "_"))
    @described(thing.summary, query=NoQuery, answer=thing.answer)
    def one(**path: str | int) -> Response:
        (name,) = checked_path(path).values()
        return json_answer(json_of(database, thing.query, name, thing.name).encode())
