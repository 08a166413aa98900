"""Pages for people. Each part refreshes itself; without scripts, a page stays as it was when it was loaded."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Blueprint, render_template, request
from markupsafe import Markup, escape

from admin.api.gatherers import Gatherers
from admin.api.listings.catalog import MARKETS
from admin.api.listings.records import TRADES
from admin.api.market_data import MARKET, book_at, json_of
from admin.api.paging import one_page
from admin.api.status import ReadVerdict
from admin.pages.coverage import CHANNEL_NAMES, HOUR, CellQuery, holes_of_cell, per_cent
from admin.pages.panels import panels_of
from admin.web.database import RequestDatabase
from app.ops.endpoint import checked_path, endpoint
from app.ops.problems import HTML, ProblemError
from app.status.verdict import age_words

# The values of a market's page.

SHOWN_TRADES = 25
SHOWN_LEVELS = 12
DOLLAR_E6 = 1_000_000
CENT_E6 = 10_000
COVERAGE = """
    SELECT hour, channel, state, (
        SELECT extract(epoch FROM sum(upper(hole) - lower(hole)))::FLOAT FROM unnest(holes) AS hole
    ) AS seconds
    FROM readable.coverage
    WHERE ticker = %(ticker)s AND hour > now() - INTERVAL '24 hours' ORDER BY channel, hour
"""

Values = dict[str, Any]


def market_values(database: RequestDatabase, ticker: str) -> Values:
    return {"market": msgspec.json.decode(json_of(database, MARKET, ticker, "market")), "ticker": ticker}


def panels_of_a_market(database: RequestDatabase) -> dict[str, Callable[[str], Values]]:
    return {
        "book": lambda ticker: _book(database, ticker),
        "trades": lambda ticker: _trades(database, ticker),
        "hours": lambda ticker: {
            "hours": database.dicts(COVERAGE, {"ticker": ticker}),
            "channels": CHANNEL_NAMES,
        },
    }


def _book(database: RequestDatabase, ticker: str) -> Values:
    try:
        book = book_at(database, ticker, None)
    except ProblemError as problem:
        return {"book": None, "problem": problem.detail}
    # A NO bid is an offer of YES at one dollar less its price.
    asks = [{**level, "price_e6": DOLLAR_E6 - level["price_e6"]} for level in book["no"][:SHOWN_LEVELS]]
    bids = book["yes"][:SHOWN_LEVELS]
    most = max((level["size_e2"] for level in (*asks, *bids)), default=1)
    for level in (*asks, *bids):
        level["share"] = level["size_e2"] * 100 // most
    return {"book": book, "asks": asks[::-1], "bids": bids}


def _trades(database: RequestDatabase, ticker: str) -> Values:
    asked = {"ticker": ticker, "after": None, "order": "desc"}
    return {"trades": one_page(database, TRADES, asked, SHOWN_TRADES).decoded()}


FOUND_MARKETS = 50


def pages_blueprint(database: RequestDatabase, gatherers: Gatherers, verdict: ReadVerdict) -> Blueprint:
    blueprint = Blueprint("pages", __name__)
    panels = panels_of(database, gatherers, verdict)

    @blueprint.get("/")
    @endpoint("The state of the platform.", types=(HTML,))
    def status() -> str:
        return render_template("status.html", panels=panels.values())

    @blueprint.get("/parts/<name>")
    @endpoint("A part of the status page.", types=(HTML,))
    def part(name: str) -> str:
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part of the page named {name}.")
        return render_template(f"parts/{name}.html", **panels[name].values())

    @blueprint.get("/markets")
    @endpoint("Markets, found by words.", types=(HTML,))
    def markets() -> str:
        text = "".join(letter for letter in request.args.get("text", "")[:200] if letter.isprintable()).strip()
        asked = {"text": text or None, "status": None if text else "active", "order": "asc", "after": None}
        page = one_page(database, MARKETS, asked, FOUND_MARKETS)
        # htmx replaces only the list; the first request, or a browser without scripts, gets the whole page.
        template = "parts/markets.html" if "HX-Request" in request.headers else "markets.html"
        return render_template(template, text=text, markets=page.decoded(), has_more=page.next is not None)

    cell_query = CellQuery()

    @blueprint.get("/coverage")
    @endpoint("The holes of an hour of a channel.", query=CellQuery, types=(HTML,))
    def coverage() -> str:
        asked = cell_query.load(request.args)
        return render_template(
            "coverage.html", one_hour=HOUR, **holes_of_cell(database, asked["hour"], asked["channel"])
        )

    _add_market_pages(blueprint, database)
    return blueprint


def _add_market_pages(blueprint: Blueprint, database: RequestDatabase) -> None:
    @blueprint.get("/markets/<ticker>")
    @endpoint("A market: its book, trades and candles.", types=(HTML,))
    def market(ticker: str) -> str:
        checked_path({"ticker": ticker})
        return render_template("market.html", **market_values(database, ticker))

    @blueprint.get("/markets/<ticker>/parts/<name>")
    @endpoint("A part of a market's page.", types=(HTML,))
    def market_part(ticker: str, name: str) -> str:
        checked_path({"ticker": ticker})
        panels = panels_of_a_market(database)
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part of the page named {name}.")
        return render_template(f"parts/{name}.html", **panels[name](ticker))


# The format of values on pages.

UNITS = ("B", "kB", "MB", "GB", "TB")
NOTHING = "\u2013"


def age(value: datetime | str | None) -> str:
    """Return how long ago the time was, or how far ahead it is."""
    if value is None:
        return NOTHING
    seconds = (datetime.now(UTC) - _moment(value)).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"


def clock(value: datetime | str | None) -> str:
    return NOTHING if value is None else f"{_moment(value):%H:%M:%S}"


def clock_ms(value: datetime | str | None) -> str:
    return NOTHING if value is None else f"{_moment(value):%H:%M:%S.%f}"[:-3]


def day_and_time(value: datetime | str | None) -> str:
    return NOTHING if value is None else f"{_moment(value):%d %b %H:%M:%S}"


def day_and_hour(value: datetime | None) -> str:
    return NOTHING if value is None else f"{value:%d %b %H:%M}"


def length_of(seconds: float | None) -> str:
    """Return how long a hole is, rounded up: a short one is not nothing."""
    return NOTHING if seconds is None else age_words(seconds)


def size(count: int | None) -> str:
    if count is None:
        return NOTHING
    amount, unit = float(count), 0
    while amount >= 1_000 and unit < len(UNITS) - 1:
        amount, unit = amount / 1_000, unit + 1
    return f"{amount:.0f} {UNITS[unit]}" if unit == 0 or amount >= 100 else f"{amount:.1f} {UNITS[unit]}"


def number(value: int | None) -> str:
    return NOTHING if value is None else f"{int(value):,}".replace(",", "\u202f")


def grouped(decimal: str) -> str:
    """Return an exact decimal number with its thousands set apart."""
    whole, point, rest = decimal.partition(".")
    return number(int(whole)) + point + rest


def cents(price_e6: int) -> str:
    """Return the exact price in cents, with as many decimals as it needs."""
    whole, rest = divmod(price_e6, CENT_E6)
    return f"{whole}.{rest:04}".rstrip("0") + "¢" if rest else f"{whole}¢"


def coded(text: str) -> Markup:
    """Return HTML in which text between backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _moment(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


DURATIONS: tuple[Callable[..., str], ...] = (age, duration, length_of, clock, clock_ms, day_and_time, day_and_hour)
NUMBERS: tuple[Callable[..., str], ...] = (size, number, grouped, cents, coded, per_cent)
FILTERS: dict[str, Callable[..., str]] = {function.__name__: function for function in (*DURATIONS, *NUMBERS)}
