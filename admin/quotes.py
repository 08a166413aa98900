"""A market's book at a moment, and its candles."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from admin.answers import json_answer
from admin.database import Database
from admin.described import described
from admin.listings.values import asked_time
from admin.problems import ProblemError
from admin.queries import checked_path
from admin.schemas import Book, Candles

SNAPSHOT = """
    SELECT snapshot_ts FROM orderbook_snapshots
    WHERE ticker = %(ticker)s AND snapshot_ts <= %(at)s AND yes_prices_e6 IS NOT NULL
    ORDER BY snapshot_ts DESC LIMIT 1
"""
LEVELS = """
    SELECT side, price::TEXT, contracts::TEXT, price_e6, size_e2 FROM order_book(%(ticker)s, %(at)s)
    ORDER BY price_e6 DESC
"""
CANDLES = """
    SELECT coalesce(json_agg(candle ORDER BY start), '[]')::TEXT FROM (
        SELECT
            date_bin(%(interval)s, exchange_ts, 'epoch') AS start,
            (array_agg(yes_price_e6 ORDER BY exchange_ts, trade_id))[1] AS open_e6,
            max(yes_price_e6) AS high_e6, min(yes_price_e6) AS low_e6,
            (array_agg(yes_price_e6 ORDER BY exchange_ts DESC, trade_id DESC))[1] AS close_e6,
            sum(size_e2)::BIGINT AS volume_e2, count(*) AS trades
        FROM trades WHERE ticker = %(ticker)s AND exchange_ts >= %(from)s AND exchange_ts < %(to)s
        GROUP BY 1
    ) AS candle
"""
INTERVALS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
MOST_CANDLES = 1_000
DOLLAR_E6 = 1_000_000


class BookQuery(Schema):
    at = asked_time()


CandlesQuery = Schema.from_dict(
    {
        "interval": fields.String(load_default="1m", validate=OneOf(list(INTERVALS))),
        "from": asked_time(),
        "to": asked_time(),
    },
    name="candles_query",
)


def quotes_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("quotes", __name__, url_prefix="/admin/markets/<ticker>")
    book_query, candles_query = BookQuery(), CandlesQuery()

    @blueprint.get("/book")
    @described("A market's book as the exchange had it at a time, or now.", query=BookQuery, answer=Book)
    def book(ticker: str) -> Response:
        asked = book_query.load(request.args)
        return json_answer(book_at(database, **checked_path({"ticker": ticker}), at=asked.get("at", _now())))

    @blueprint.get("/candles")
    @described("Prices and volumes of a market's trades by minute, hour or day.", query=CandlesQuery, answer=Candles)
    def candles(ticker: str) -> Response:
        asked = candles_query.load(request.args)
        found, following = candles_of(database, checked_path({"ticker": ticker})["ticker"], asked)
        return json_answer(f'{{"candles":{found},"next":{msgspec.json.encode(following).decode()}}}'.encode())

    return blueprint


def book_at(database: Database, ticker: str, at: datetime) -> dict[str, Any]:
    asked = {"ticker": ticker, "at": at}
    snapshot = database.row(SNAPSHOT, asked)
    if snapshot is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No book of {ticker} is known of then.")
    sides: dict[str, list[dict[str, Any]]] = {"yes": [], "no": []}
    for side, price, contracts, price_e6, size_e2 in database.rows(LEVELS, asked):
        sides[side].append({"price": price, "contracts": contracts, "price_e6": price_e6, "size_e2": size_e2})
    yes_bid = sides["yes"][0]["price"] if sides["yes"] else None
    yes_ask = dollars(DOLLAR_E6 - sides["no"][0]["price_e6"]) if sides["no"] else None
    return {"ticker": ticker, "at": at, "based_on": snapshot[0], **sides, "yes_bid": yes_bid, "yes_ask": yes_ask}


def candles_of(database: Database, ticker: str, asked: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """As JSON, and where the next ones begin, when there may be more in the time that was asked for."""
    interval = INTERVALS[asked["interval"]]
    until = asked.get("to", _now())
    since = asked.get("from", until - MOST_CANDLES * interval)
    most = since + MOST_CANDLES * interval
    end = min(until, most)
    times = {"ticker": ticker, "interval": interval, "from": since, "to": end}
    (found,) = database.rows(CANDLES, times)[0]
    return found, most if most < until else None


def dollars(price_e6: int) -> str:
    return f"{price_e6 // DOLLAR_E6}.{price_e6 % DOLLAR_E6:06}"


def _now() -> datetime:
    return datetime.now(UTC)
