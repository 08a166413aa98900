"""Pages for people. Each part asks for itself again; without scripts a page is what it was when it was loaded."""

from http import HTTPStatus

from flask import Blueprint, render_template, request

from admin.database import Database
from admin.described import described
from admin.gatherers import Gatherers
from admin.listing import one_page
from admin.listings.catalog import MARKETS
from admin.market_page import market_values, panels_of_a_market
from admin.panels import panels_of
from admin.problems import HTML, ProblemError
from admin.queries import checked_path

FOUND_MARKETS = 50


def pages_blueprint(database: Database, gatherers: Gatherers) -> Blueprint:
    blueprint = Blueprint("pages", __name__)
    panels = panels_of(database, gatherers)

    @blueprint.get("/")
    @described("The state of the platform.", types=(HTML,))
    def status() -> str:
        return render_template("status.html", panels=panels.values())

    @blueprint.get("/parts/<name>")
    @described("A part of the status page.", types=(HTML,))
    def part(name: str) -> str:
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part {name}.")
        return render_template(f"parts/{name}.html", **panels[name].values())

    @blueprint.get("/markets")
    @described("Markets, found by words.", types=(HTML,))
    def markets() -> str:
        text = "".join(letter for letter in request.args.get("text", "")[:200] if letter.isprintable()).strip()
        asked = {"text": text or None, "status": None if text else "active", "order": "asc", "after": None}
        page = one_page(database, MARKETS, asked, FOUND_MARKETS)
        template = "parts/markets.html" if "HX-Request" in request.headers else "markets.html"
        return render_template(template, text=text, markets=page.decoded(), has_more=page.next is not None)

    _add_market_pages(blueprint, database)
    return blueprint


def _add_market_pages(blueprint: Blueprint, database: Database) -> None:
    @blueprint.get("/markets/<ticker>")
    @described("A market: its book, trades and candles.", types=(HTML,))
    def market(ticker: str) -> str:
        checked_path({"ticker": ticker})
        return render_template("market.html", **market_values(database, ticker))

    @blueprint.get("/markets/<ticker>/parts/<name>")
    @described("A part of a market's page.", types=(HTML,))
    def market_part(ticker: str, name: str) -> str:
        checked_path({"ticker": ticker})
        panels = panels_of_a_market(database)
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part {name}.")
        return render_template(f"parts/{name}.html", **panels[name](ticker))
