"""Pages for people. Each part asks for itself again; without scripts a page is what it was when it was loaded."""

from http import HTTPStatus

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from admin.access import COOKIE, Access
from admin.database import Database
from admin.described import described
from admin.gatherers import Gatherers
from admin.listing import one_page
from admin.listings.catalog import MARKETS
from admin.market_page import market_values, panels_of_a_market
from admin.panels import panels_of
from admin.problems import ProblemError
from admin.queries import checked_path
from app.tokens import Role

HTML = ("text/html",)
FOUND_MARKETS = 50
COOKIE_SECONDS = 30 * 86_400


def pages_blueprint(database: Database, gatherers: Gatherers) -> Blueprint:
    blueprint = Blueprint("pages", __name__)
    panels = panels_of(database, gatherers)

    @blueprint.get("/")
    @described("The state of the platform.", types=HTML)
    def status() -> str:
        return render_template("status.html", panels=panels.values())

    @blueprint.get("/parts/<name>")
    @described("A part of the status page.", types=HTML)
    def part(name: str) -> str:
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part {name}.")
        return render_template(f"parts/{name}.html", **panels[name].values())

    @blueprint.get("/markets")
    @described("Markets, found by words.", types=HTML)
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
    @described("A market: its book, trades and candles.", types=HTML)
    def market(ticker: str) -> str:
        checked_path({"ticker": ticker})
        return render_template("market.html", **market_values(database, ticker))

    @blueprint.get("/markets/<ticker>/parts/<name>")
    @described("A part of a market's page.", types=HTML)
    def market_part(ticker: str, name: str) -> str:
        checked_path({"ticker": ticker})
        panels = panels_of_a_market(database)
        if name not in panels:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no part {name}.")
        return render_template(f"parts/{name}.html", **panels[name](ticker))


def login_blueprint(access: Access) -> Blueprint:
    blueprint = Blueprint("login", __name__)

    @blueprint.get("/login")
    @described("Where a browser is told its token.", Role.NOBODY, types=HTML)
    def ask() -> str:
        return render_template("login.html")

    @blueprint.post("/login")
    @described("Keeps the token in a cookie that scripts cannot read.", Role.NOBODY, types=HTML)
    def log_in() -> AnyResponse:
        presented = request.form.get("token", "").strip()
        try:
            access.holder_of(presented, request.remote_addr or "")
        except ProblemError as error:
            return make_response(render_template("login.html", problem=error.detail), error.status)
        answer = redirect("/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, presented, COOKIE_SECONDS, httponly=True, samesite="Strict", secure=request.is_secure)
        return answer

    @blueprint.post("/logout")
    @described("Forgets it.", Role.NOBODY, types=HTML)
    def log_out() -> AnyResponse:
        answer = redirect("/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE)
        return answer

    return blueprint
