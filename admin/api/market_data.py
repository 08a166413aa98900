"""A market's book at a time, its candles, and single objects: a market, an event, a series, a quarantined row."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response, request
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from admin.api.lists import json_answer
from admin.api.paging import asked_time
from admin.api.schemas import (
    BookSchema,
    CandlesSchema,
    EventSchema,
    MarketSchema,
    QuarantinedRowSchema,
    SeriesSchema,
    knowable_time,
    known_of,
)
from admin.web.database import RequestDatabase
from app.coverage.evidence import TRADES
from app.normalize.values import ONE_DOLLAR_E6, contracts, dollars
from app.ops.endpoint import ROW_NUMBER, NoQuery, TimeRange, checked_path, endpoint
from app.ops.problems import ProblemError

BOOK = """
    SELECT
        book.yes_sides, book.prices_e6, book.sizes_e2, known.state, known.known_until,
        CASE WHEN known.hole IS NOT NULL THEN ARRAY[lower(known.hole), upper(known.hole)] END AS hole,
        book.based_on, book.source, book.changes, audited_until(%(ticker)s) AS audited_until
    FROM recorded_book(%(ticker)s, %(at)s) AS book CROSS JOIN knowledge_of_book(%(ticker)s, %(at)s) AS known
"""
# Trades of one millisecond are in the order that app/lake/candles.py gives them.
CANDLES = """
    SELECT coalesce(json_agg(candle ORDER BY start), '[]')::TEXT FROM (
        SELECT
            date_bin(%(interval)s, exchange_ts, 'epoch') AS start,
            (array_agg(yes_price_e6 ORDER BY exchange_ts, received_at, badness, trade_id))[1] AS open_e6,
            max(yes_price_e6) AS high_e6, min(yes_price_e6) AS low_e6,
            (array_agg(yes_price_e6 ORDER BY exchange_ts DESC, received_at DESC, badness DESC, trade_id DESC))[1]
                AS close_e6,
            sum(size_e2)::BIGINT AS volume_e2, count(*) AS trades
        FROM (
            SELECT *, CASE WHEN taker_yes THEN yes_price_e6 ELSE -yes_price_e6 END AS badness FROM trades
        ) AS placed WHERE ticker = %(ticker)s AND exchange_ts >= %(from)s AND exchange_ts < %(to)s
        GROUP BY 1
    ) AS candle
"""
INTERVALS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
MOST_CANDLES = 1_000


class BookQuery(Schema):
    at = asked_time()


CandlesQuery = TimeRange.from_dict(
    {
        "interval": fields.String(load_default="1m", validate=OneOf(list(INTERVALS))),
        "from": asked_time(),
        "to": asked_time(),
    },
    name="candles_query",
)


def quotes_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("quotes", __name__, url_prefix="/admin/markets/<ticker>")
    book_query, candles_query = BookQuery(), CandlesQuery()

    @blueprint.get("/book")
    @endpoint(
        "A market's book as the exchange had it at a time, or at the last time that is known; and how certain it is.",
        query=BookQuery,
        answer=BookSchema,
    )
    def book(ticker: str) -> Response:
        asked = book_query.load(request.args)
        return json_answer(book_at(database, **checked_path({"ticker": ticker}), at=asked.get("at")))

    @blueprint.get("/candles")
    @endpoint(
        "Prices and volumes of a market's trades by minute, hour or day.", query=CandlesQuery, answer=CandlesSchema
    )
    def candles(ticker: str) -> Response:
        asked = candles_query.load(request.args)
        found, following = candles_of(database, checked_path({"ticker": ticker})["ticker"], asked)
        known = known_of(database, TRADES, {**asked, "ticker": ticker})
        rest = msgspec.json.encode({"next": following, **known._asdict()}).decode()
        return json_answer(f'{{"candles":{found},{rest[1:]}'.encode())

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


def candles_of(database: RequestDatabase, ticker: str, asked: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """Return the candles as JSON, and where the next ones begin. The latter is None if the requested time has no
    more."""
    interval = INTERVALS[asked["interval"]]
    until = asked.get("to", _now())
    since = asked.get("from", until - MOST_CANDLES * interval)
    most = since + MOST_CANDLES * interval
    end = min(until, most)
    times = {"ticker": ticker, "interval": interval, "from": since, "to": end}
    (found,) = database.rows(CANDLES, times)[0]
    return found, most if most < until else None


def _now() -> datetime:
    return datetime.now(UTC)


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
