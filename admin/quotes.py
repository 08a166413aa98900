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
from admin.knowledge import knowable_time, known_of
from admin.listings.values import asked_time
from admin.problems import ProblemError
from admin.queries import TimeRange, checked_path
from admin.schemas import Book, Candles
from app.coverage.hearing import TRADES
from app.normal.decimals import ONE_DOLLAR_E6, contracts, dollars

BOOK = """
    SELECT
        book.yes_sides, book.prices_e6, book.sizes_e2, known.state, known.known_until,
        CASE WHEN known.hole IS NOT NULL THEN ARRAY[lower(known.hole), upper(known.hole)] END AS hole,
        book.based_on, book.source, book.changes, audited_until(%(ticker)s) AS audited_until
    FROM recorded_book(%(ticker)s, %(at)s) AS book CROSS JOIN knowledge_of_book(%(ticker)s, %(at)s) AS known
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


def quotes_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("quotes", __name__, url_prefix="/admin/markets/<ticker>")
    book_query, candles_query = BookQuery(), CandlesQuery()

    @blueprint.get("/book")
    @described(
        "A market's book as the exchange had it at a time, or at the last time that is known; and how certain it is.",
        query=BookQuery,
        answer=Book,
    )
    def book(ticker: str) -> Response:
        asked = book_query.load(request.args)
        return json_answer(book_at(database, **checked_path({"ticker": ticker}), at=asked.get("at")))

    @blueprint.get("/candles")
    @described("Prices and volumes of a market's trades by minute, hour or day.", query=CandlesQuery, answer=Candles)
    def candles(ticker: str) -> Response:
        asked = candles_query.load(request.args)
        found, following = candles_of(database, checked_path({"ticker": ticker})["ticker"], asked)
        known = known_of(database, TRADES, {**asked, "ticker": ticker})
        rest = msgspec.json.encode({"next": following, **known._asdict()}).decode()
        return json_answer(f'{{"candles":{found},{rest[1:]}'.encode())

    return blueprint


def book_at(database: Database, ticker: str, at: datetime | None) -> dict[str, Any]:
    asked = {"ticker": ticker, "at": knowable_time(database, ticker, at)}
    found = next(iter(database.dicts(BOOK, asked)), None)
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No book of {ticker} is known of then.")
    columns = [found.pop(name) or [] for name in ("yes_sides", "prices_e6", "sizes_e2")]
    levels = sorted((level for level in zip(*columns, strict=True) if level[2] > 0), reverse=True)
    yes, no = ([_level(*level) for side, *level in levels if side is wanted] for wanted in (True, False))
    yes_bid = yes[0]["price"] if yes else None
    yes_ask = dollars(ONE_DOLLAR_E6 - no[0]["price_e6"]) if no else None
    return {**asked, **found, "yes": yes, "no": no, "yes_bid": yes_bid, "yes_ask": yes_ask}


def _level(price_e6: int, size_e2: int) -> dict[str, Any]:
    return {"price": dollars(price_e6), "contracts": contracts(size_e2), "price_e6": price_e6, "size_e2": size_e2}


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


def _now() -> datetime:
    return datetime.now(UTC)
