"""Pages for people. Each part refreshes itself; without scripts, a page stays as it was when it was loaded."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from flask import Blueprint, render_template, request
from markupsafe import Markup, escape

from admin.api.gatherers import Gatherers
from admin.api.status import ReadVerdict
from admin.pages.coverage import CellQuery, holes_of_cell
from admin.pages.panels import panels_of
from admin.web.database import RequestDatabase
from app.ops.endpoint import endpoint
from app.ops.problems import HTML, ProblemError
from app.report.words import per_cent
from app.status.verdict import age_words
from kalshi_data.layout import HOUR

CENT_E6 = 10_000


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

    cell_query = CellQuery()

    @blueprint.get("/coverage")
    @endpoint("The holes of an hour of a channel.", query=CellQuery, types=(HTML,))
    def coverage() -> str:
        asked = cell_query.load(request.args)
        return render_template(
            "coverage.html", one_hour=HOUR, **holes_of_cell(database, asked["hour"], asked["channel"])
        )

    return blueprint


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
