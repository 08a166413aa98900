"""The report's page: how complete a month is, what proves it, and what each gatherer contributed.

In: the figures of the month's days. Out: the sentences and tables of `kalshi-data report`.
"""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template, request
from marshmallow import Schema, ValidationError, fields

from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from app.ops.endpoint import endpoint
from app.ops.problems import HTML
from app.report import words
from app.report.days import QualityReport, report_of
from kalshi_data.times import EARLIEST, LATEST

CACHED_MONTHS = 24
# Days whose figures are not kept yet take seconds.
CACHED_SECONDS = 60.0
MONTH = "%Y-%m"


def _a_month(value: str) -> None:
    try:
        month = datetime.strptime(value, MONTH).replace(tzinfo=UTC)
    except ValueError:
        raise ValidationError("Not a month such as 2026-11.") from None
    if not EARLIEST <= month < LATEST:
        raise ValidationError(f"Not between {EARLIEST.year} and {LATEST.year}.")


class MonthQuery(Schema):
    month = fields.String(validate=_a_month, metadata={"example": "2026-11"})


def report_page(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("report", __name__, url_prefix="/report")
    query = MonthQuery()
    found: dict[datetime, TtlCache[QualityReport | None]] = {}

    def asked_month() -> datetime:
        given = query.load(request.args).get("month", f"{datetime.now(UTC):{MONTH}}")
        return datetime.strptime(given, MONTH).replace(tzinfo=UTC)

    @blueprint.get("")
    @endpoint("The quality of the record of a month.", query=MonthQuery, types=(HTML,))
    def report() -> str:
        month = asked_month()
        return render_template("report.html", month=month, before=month - timedelta(days=1), after=_after(month))

    @blueprint.get("/figures")
    @endpoint("The figures of the report of a month.", query=MonthQuery, types=(HTML,))
    def figures() -> str:
        month = asked_month()
        if len(found) > CACHED_MONTHS:
            found.clear()
        cached = found.setdefault(
            month, TtlCache(lambda: report_of(database.dicts, month, _after(month)), CACHED_SECONDS)
        )
        made = cached()
        sentences, tables = (list(words.sentences(made)), list(words.tables(made))) if made else ([], [])
        return render_template("parts/report.html", sentences=sentences, tables=tables)

    return blueprint


def _after(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)
