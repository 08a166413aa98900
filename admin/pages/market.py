"""A market's page: its book at a time, charts, trades, coverage, and the hour to download.

In: the queries that the API answers, and a time; without one, the last time that is known. Out: the page and its parts.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Blueprint, render_template, request
from marshmallow import Schema

from admin.api.listings.records import TRADES
from admin.api.market_data import MARKET, book_at, json_of
from admin.api.paging import asked_time, one_page
from admin.api.schemas import known_until
from admin.pages.coverage import CHANNEL_NAMES
from admin.web.database import RequestDatabase
from app.normalize.values import ONE_DOLLAR_E6
from app.ops.endpoint import checked_path, endpoint
from app.ops.problems import HTML, ProblemError
from kalshi_data.layout import HOUR, hour_of

SHOWN_TRADES = 25
SHOWN_LEVELS = 12
# Time before the record began is no hole here either.
COVERAGE = """
    SELECT c.hour, c.channel, missing.seconds,
        CASE WHEN c.state = 'hole' AND missing.seconds IS NULL THEN 'unrecorded' ELSE c.state END AS state
    FROM readable.coverage AS c
    LEFT JOIN LATERAL (
        SELECT extract(epoch FROM sum(until - since))::FLOAT AS seconds FROM coverage_holes AS h
        WHERE h.hour = c.hour AND h.channel = c.channel AND h.ticker IN (c.ticker, '') AND h.kind <> 'unrecorded'
    ) AS missing ON TRUE
    WHERE c.ticker = %(ticker)s AND c.hour > now() - INTERVAL '24 hours' ORDER BY c.channel, c.hour
"""
LAKE = "SELECT location FROM lakes ORDER BY bound_at IS NULL, first_seen_at DESC LIMIT 1"
# With the name of the list that has the same as CSV.
DOWNLOADS = (
    ("Book changes", "orderbook_deltas", "changes"),
    ("Snapshots", "orderbook_snapshots", "snapshots"),
    ("Trades", "trades", "trades"),
    ("Quotes", "tickers", "tickers"),
)
MICROSECOND = timedelta(microseconds=1)

Values = dict[str, Any]


class MomentQuery(Schema):
    at = asked_time()


def market_pages(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("market", __name__, url_prefix="/markets/<ticker>")
    query = MomentQuery()
    parts: dict[str, Callable[[RequestDatabase, str, datetime | None], Values]] = {
        "book": _book,
        "trades": _trades,
        "hours": _hours,
        "download": _download,
    }

    @blueprint.get("")
    @endpoint("A market: its book, trades and prices.", query=MomentQuery, types=(HTML,))
    def market(ticker: str) -> str:
        checked_path({"ticker": ticker})
        at = query.load(request.args).get("at")
        found = msgspec.json.decode(json_of(database, MARKET, ticker, "market"))
        known = known_until(database, ticker) or datetime.now(UTC)
        return render_template("market.html", market=found, ticker=ticker, at=at, known_until=known)

    @blueprint.get("/parts/<name>")
    @endpoint("A part of a market's page.", query=MomentQuery, types=(HTML,))
    def part(ticker: str, name: str) -> str:
        checked_path({"ticker": ticker})
        if name not in parts:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part of the page named {name}.")
        # The slider's field is empty where it follows the last known time.
        at = query.load({name: value for name, value in request.args.items() if value}).get("at")
        return render_template(f"parts/{name}.html", ticker=ticker, at=at, **parts[name](database, ticker, at))

    return blueprint


def _book(database: RequestDatabase, ticker: str, at: datetime | None) -> Values:
    try:
        book = book_at(database, ticker, at)
    except ProblemError as problem:
        return {"book": None, "problem": problem.detail}
    # A NO bid is an offer of YES at one dollar less its price.
    asks = [{**level, "price_e6": ONE_DOLLAR_E6 - level["price_e6"]} for level in book["no"][:SHOWN_LEVELS]]
    bids = book["yes"][:SHOWN_LEVELS]
    most = max((level["size_e2"] for level in (*asks, *bids)), default=1)
    for level in (*asks, *bids):
        level["share"] = level["size_e2"] * 100 // most
    hidden = len(book["yes"]) + len(book["no"]) - len(asks) - len(bids)
    return {"book": book, "asks": asks[::-1], "bids": bids, "hidden": hidden}


def _trades(database: RequestDatabase, ticker: str, at: datetime | None) -> Values:
    asked = {"ticker": ticker, "after": None, "order": "desc", "to": at + MICROSECOND if at else None}
    return {"trades": one_page(database, TRADES, asked, SHOWN_TRADES).decoded()}


def _hours(database: RequestDatabase, ticker: str, _: datetime | None) -> Values:
    return {"hours": database.dicts(COVERAGE, {"ticker": ticker}), "channels": CHANNEL_NAMES}


def _download(database: RequestDatabase, ticker: str, at: datetime | None) -> Values:
    moment = at or known_until(database, ticker) or datetime.now(UTC)
    hour = hour_of(moment)
    (lake,) = database.row(LAKE) or (None,)
    return {"hour": hour, "end": hour + HOUR, "moment": moment, "lake": lake, "downloads": DOWNLOADS}
