"""A market's book at a time, and single objects: a market, an event, a series, a quarantined row."""

from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Blueprint, Response, request
from marshmallow import Schema

from admin.api.lists import json_answer
from admin.api.paging import asked_time
from admin.api.schemas import (
    BookSchema,
    EventSchema,
    MarketSchema,
    QuarantinedRowSchema,
    SeriesSchema,
    knowable_time,
)
from admin.web.database import RequestDatabase
from app.normalize.values import ONE_DOLLAR_E6, contracts, dollars
from app.ops.endpoint import ROW_NUMBER, NoQuery, checked_path, endpoint
from app.ops.problems import ProblemError

BOOK = """
    SELECT
        book.yes_sides, book.prices_e6, book.sizes_e2, known.state, known.known_until,
        CASE WHEN known.hole IS NOT NULL THEN ARRAY[lower(known.hole), upper(known.hole)] END AS hole,
        book.based_on, book.source, book.changes, audited_until(%(ticker)s) AS audited_until,
        proven_until(%(ticker)s) AS proven_until
    FROM recorded_book(%(ticker)s, %(at)s) AS book CROSS JOIN knowledge_of_book(%(ticker)s, %(at)s) AS known
"""


class BookQuery(Schema):
    at = asked_time()


def quotes_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("quotes", __name__, url_prefix="/admin/markets/<ticker>")
    book_query = BookQuery()

    @blueprint.get("/book")
    @endpoint(
        "A market's book as the exchange had it at a time, or at the last time that is known; and how certain it is.",
        query=BookQuery,
        answer=BookSchema,
    )
    def book(ticker: str) -> Response:
        asked = book_query.load(request.args)
        return json_answer(book_at(database, **checked_path({"ticker": ticker}), at=asked.get("at")))

    return blueprint


def book_at(database: RequestDatabase, ticker: str, at: datetime | None) -> dict[str, Any]:
    asked = {"ticker": ticker, "at": knowable_time(database, ticker, at)}
    found = next(iter(database.dicts(BOOK, asked)), None)
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No book of {ticker} is known at that time.")
    columns = [found.pop(name) or [] for name in ("yes_sides", "prices_e6", "sizes_e2")]
    levels = sorted((level for level in zip(*columns, strict=True) if level[2] > 0), reverse=True)
    yes, no = ([_level(*level) for side, *level in levels if side is wanted] for wanted in (True, False))
    yes_bid = yes[0]["price"] if yes else None
    yes_ask = dollars(ONE_DOLLAR_E6 - no[0]["price_e6"]) if no else None
    return {**asked, **found, "yes": yes, "no": no, "yes_bid": yes_bid, "yes_ask": yes_ask}


def _level(price_e6: int, size_e2: int) -> dict[str, Any]:
    return {"price": dollars(price_e6), "contracts": contracts(size_e2), "price_e6": price_e6, "size_e2": size_e2}


# One market, event or series, with everything that is recorded of it.

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


class ApiObject(NamedTuple):
    """A single object that the API serves by its name."""

    path: str
    name: str
    summary: str
    query: str
    answer: type[Schema]


API_OBJECTS = (
    ApiObject(
        "/markets/<ticker>",
        "market",
        "A market with its last quote, and with the exchange's own object in `details`.",
        MARKET,
        MarketSchema,
    ),
    ApiObject(
        "/events/<event_ticker>",
        "event",
        "An event, with the exchange's own object in `details`.",
        "SELECT * FROM events WHERE event_ticker = %(name)s",
        EventSchema,
    ),
    ApiObject(
        "/series/<ticker>",
        "series",
        "A series, with the exchange's own object in `details`.",
        "SELECT * FROM series WHERE ticker = %(name)s",
        SeriesSchema,
    ),
    ApiObject(
        f"/quarantine/<{ROW_NUMBER}:quarantine_id>",
        "quarantined row",
        "What is in quarantine, with its bytes.",
        QUARANTINED,
        QuarantinedRowSchema,
    ),
)


def objects_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("things", __name__, url_prefix="/admin")
    for thing in API_OBJECTS:
        _add(blueprint, database, thing)
    return blueprint


def json_of(database: RequestDatabase, query: str, name: str | int, kind: str) -> str:
    """Return the row that the query finds, as JSON. Raise ProblemError if there is none."""
    found = database.row(f"SELECT row_to_json(found)::TEXT FROM ({query}) AS found", {"name": name})  # noqa: S608 - ours
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No {kind} {name} is known.")
    text: str = found[0]
    return text


def _add(blueprint: Blueprint, database: RequestDatabase, thing: ApiObject) -> None:
    @blueprint.get(thing.path, endpoint=thing.name.replace(" ", "_"))
    @endpoint(thing.summary, query=NoQuery, answer=thing.answer)
    def one(**path: str | int) -> Response:
        (name,) = checked_path(path).values()
        return json_answer(json_of(database, thing.query, name, thing.name).encode())
