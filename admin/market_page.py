"""What a market's page shows."""

from collections.abc import Callable
from typing import Any

import msgspec

from admin.database import Database
from admin.listing import one_page
from admin.listings.records import TRADES
from admin.problems import ProblemError
from admin.quotes import book_at
from admin.things import MARKET, json_of

SHOWN_TRADES = 25
SHOWN_LEVELS = 12
DOLLAR_E6 = 1_000_000
CENT_E6 = 10_000
COVERAGE = """
    SELECT hour, channel, state FROM readable.coverage
    WHERE ticker = %(ticker)s AND hour > now() - INTERVAL '24 hours' ORDER BY channel, hour
"""

Values = dict[str, Any]


def market_values(database: Database, ticker: str) -> Values:
    return {"market": msgspec.json.decode(json_of(database, MARKET, ticker, "market")), "ticker": ticker}


def panels_of_a_market(database: Database) -> dict[str, Callable[[str], Values]]:
    return {
        "book": lambda ticker: _book(database, ticker),
        "trades": lambda ticker: _trades(database, ticker),
        "hours": lambda ticker: {"hours": database.dicts(COVERAGE, {"ticker": ticker})},
    }


def _book(database: Database, ticker: str) -> Values:
    try:
        book = book_at(database, ticker, None)
    except ProblemError as problem:
        return {"book": None, "problem": problem.detail}
    # A NO bid is an offer of YES from the other end of the dollar.
    asks = [{**level, "price_e6": DOLLAR_E6 - level["price_e6"]} for level in book["no"][:SHOWN_LEVELS]]
    bids = book["yes"][:SHOWN_LEVELS]
    most = max((level["size_e2"] for level in (*asks, *bids)), default=1)
    for level in (*asks, *bids):
        level["share"] = level["size_e2"] * 100 // most
    return {"book": book, "asks": asks[::-1], "bids": bids}


def _trades(database: Database, ticker: str) -> Values:
    asked = {"ticker": ticker, "after": None, "order": "desc"}
    return {"trades": one_page(database, TRADES, asked, SHOWN_TRADES).decoded()}
