"""The lake's page: which hours lie there, how large they are, whether they were read back, and what failed.

In: the ledger of exports. Out: a row for each table and for each day.
"""

from flask import Blueprint, render_template

from admin.web.database import RequestDatabase
from app.ops.endpoint import endpoint
from app.ops.problems import HTML

SHOWN_DAYS = 31
SHOWN_FAILURES = 20

LAKES = (
    "SELECT lake_id::TEXT, location, first_seen_at, bound_at FROM lakes ORDER BY bound_at IS NULL, first_seen_at DESC"
)
# Of the lake that production is bound to, or else of all. An hour counts once it was written; of those that had to be
# written again, the object from before is still there.
OF_LAKE = "lake_id = coalesce((SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL), lake_id)"
# Candles have a manifest for each interval, and none in the ledger.
IS_WRITTEN = "(manifest <> '' OR (table_name = 'ohlcv' AND verified_at IS NOT NULL))"
FIGURES = f"""
    count(*) FILTER (WHERE {IS_WRITTEN}) AS hours,
    count(*) FILTER (WHERE {IS_WRITTEN} AND verified_at IS NOT NULL) AS verified,
    count(*) FILTER (WHERE NOT {IS_WRITTEN} OR through_ingest_id < changed_through) AS to_write,
    count(failure) AS failing, sum(row_count)::BIGINT AS row_count, sum(size_bytes)::BIGINT AS bytes,
    count(*) FILTER (WHERE manifest <> '' AND size_bytes IS NULL) AS unsized
"""
TABLES = f"""
    SELECT table_name, {FIGURES}, min(hour) FILTER (WHERE {IS_WRITTEN}) AS first,
        max(hour) FILTER (WHERE {IS_WRITTEN}) AS last
    FROM exports WHERE {OF_LAKE} GROUP BY table_name ORDER BY table_name
"""  # noqa: S608
DAYS = f"""
    SELECT date_bin('1 day', hour, 'epoch') AS day, {FIGURES}
    FROM exports WHERE {OF_LAKE} GROUP BY day ORDER BY day DESC LIMIT %(days)s
"""  # noqa: S608
FAILURES = f"""
    SELECT table_name, hour, failures, failure, retry_at FROM exports
    WHERE {OF_LAKE} AND failure IS NOT NULL ORDER BY hour DESC, table_name LIMIT %(limit)s
"""  # noqa: S608


def lake_page(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("lake", __name__)

    @blueprint.get("/lake")
    @endpoint("What lies in the lake: hours, sizes, and whether they were verified.", types=(HTML,))
    def lake() -> str:
        return render_template(
            "lake.html",
            lakes=database.dicts(LAKES),
            tables=database.dicts(TABLES),
            days=database.dicts(DAYS, {"days": SHOWN_DAYS}),
            failures=database.dicts(FAILURES, {"limit": SHOWN_FAILURES}),
        )

    return blueprint
