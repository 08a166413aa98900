"""The completeness page: the share of the time that is recorded, by day and channel; and what each gatherer received.

In: judged hours, lives of markets and gatherers' journals. Out: a table of days, the hours of one day, and for each
gatherer what it alone would have missed, and what the others would have missed without it.
"""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template, request
from marshmallow import Schema

from admin.api.paging import asked_time
from admin.pages.coverage import (
    CHANNEL_NAMES,
    CHANNELS,
    EXCEPTIONS,
    LIVES,
    Cell,
    LifeGroup,
    MissingTime,
    bands,
    cells_until,
    market_seconds,
)
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from app.coverage.evidence import BOOKS
from app.ops.endpoint import endpoint
from app.ops.problems import HTML
from app.report.contributions import contributions
from app.report.figures import GathererFigures
from app.report.queries import read_known
from kalshi_data.layout import DAY, day_of

SHOWN_DAYS = timedelta(days=31)
CACHED_DAYS = 31
CACHED_SECONDS = 60.0
MICROSECOND = timedelta(microseconds=1)

DAYS = """
    SELECT
        date_bin('1 day', hour, 'epoch') AS day, min(hour) AS since, max(known_until) AS until,
        extract(epoch FROM sum(known_until - hour))::FLOAT AS seconds
    FROM coverage_known WHERE hour >= %(from)s AND known_until > hour GROUP BY day ORDER BY day DESC
"""


class DayQuery(Schema):
    day = asked_time()


def completeness_pages(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("completeness", __name__, url_prefix="/completeness")
    query = DayQuery()
    # With 100,000 markets it takes seconds.
    found: dict[datetime, TtlCache[list[GathererFigures]]] = {}

    @blueprint.get("")
    @endpoint("How complete the record is, by day and channel.", query=DayQuery, types=(HTML,))
    def completeness() -> str:
        days = days_of(database, datetime.now(UTC))
        latest = max(days, default=day_of(datetime.now(UTC)))
        day = day_of(query.load(request.args).get("day", latest))
        cells = cells_until(database, day + DAY - MICROSECOND, 24, CHANNELS)
        return render_template("completeness.html", days=days, day=day, bands=bands(cells), channels=CHANNELS)

    @blueprint.get("/gatherers")
    @endpoint("What each gatherer received of a day.", query=DayQuery, types=(HTML,))
    def gatherers() -> str:
        day = day_of(query.load(request.args).get("day", datetime.now(UTC)))
        if len(found) > CACHED_DAYS:
            found.clear()
        rows = found.setdefault(day, TtlCache(lambda: contributions_of(database, day), CACHED_SECONDS))()
        return render_template("parts/contributions.html", rows=rows, channels=CHANNEL_NAMES)

    return blueprint


def days_of(database: RequestDatabase, now: datetime) -> dict[datetime, list[Cell]]:
    """Return a cell for each channel of the days of which something is known, the latest first."""
    rows = database.rows(DAYS, {"from": day_of(now - SHOWN_DAYS)})
    if not rows:
        return {}
    first, last = min(row[1] for row in rows), max(row[2] for row in rows)
    period = {"from": first, "to": last, "length": DAY}
    lives = [LifeGroup(*row) for row in database.rows(LIVES, period)]
    missing: dict[tuple[str, datetime], dict[str, MissingTime]] = {}
    for day, channel, kind, markets, seconds in database.rows(EXCEPTIONS, period):
        missing.setdefault((channel, day), {})[kind] = MissingTime(markets, seconds)

    def cell(channel: str, day: datetime, until: datetime, known_seconds: float) -> Cell:
        seconds = known_seconds
        if channel == BOOKS:
            # Of a day with hours that are not known, the lives of markets are counted in proportion.
            whole = (min(day + DAY, last) - max(day, first)).total_seconds()
            seconds = market_seconds(lives, day, DAY) * known_seconds / whole
        known_until = until if day == day_of(last) else day + DAY
        return Cell(day, channel, known_until, seconds, missing.get((channel, day), {}), length=DAY)

    return {day: [cell(channel, day, until, seconds) for channel in CHANNELS] for day, _, until, seconds in rows}


def contributions_of(database: RequestDatabase, day: datetime) -> list[GathererFigures]:
    """Return what each gatherer missed of the known part of a day, and what it alone received."""
    return contributions(database.dicts, read_known(database.dicts, day).recorded_books).gatherers
