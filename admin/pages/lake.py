"""The lake's page: which hours lie there, how large they are, whether they were read back and sealed, and what failed.

In: the ledger of exports, and what production knows of the chain of sealed days. Out: the chain's head, and a row for
each table and for each day.
"""

from flask import Blueprint, render_template

from admin.web.database import RequestDatabase
from app.ops.endpoint import endpoint
from app.ops.problems import HTML

SHOWN_DAYS = 31
SHOWN_FAILURES = 20

LAKES = """
    SELECT location, first_seen_at, bound_at, chain.*
    FROM lakes
    LEFT JOIN LATERAL (
        SELECT count(DISTINCT day) AS days, min(day) AS first_day, max(day) AS last_day, count(*) AS links,
            (array_agg(head ORDER BY number DESC))[1] AS head, max(sealed_at) AS sealed_at
        FROM sealed_days WHERE lake_id = lakes.lake_id
    ) AS chain ON TRUE
    ORDER BY bound_at IS NULL, first_seen_at DESC
"""
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
# Something that was written since makes the exporter look at the day again, and seal it again if it differs.
DAYS = f"""
    SELECT written.*, sealed_at, exported_at >= looked_at AS is_changed
    FROM (
        SELECT date_bin('1 day', hour, 'epoch') AS day, {FIGURES}, max(exported_at) AS exported_at
        FROM exports WHERE {OF_LAKE} GROUP BY 1 ORDER BY 1 DESC LIMIT %(days)s
    ) AS written
    LEFT JOIN LATERAL (
        SELECT sealed_at, looked_at FROM sealed_days
        WHERE {OF_LAKE} AND sealed_days.day = written.day ORDER BY number DESC LIMIT 1
    ) AS sealed ON TRUE
    ORDER BY day DESC
"""  # noqa: S608
FAILURES = f"""
    SELECT table_name, hour, failures, failure, retry_at FROM exports
    WHERE {OF_LAKE} AND failure IS NOT NULL ORDER BY hour DESC, table_name LIMIT %(limit)s
"""  # noqa: S608


def lake_page(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("lake", __name__)

    @blueprint.get("/lake")
    @endpoint(
        "What lies in the lake: hours, sizes, whether they were verified, and the head of the chain of sealed days.",
        types=(HTML,),
    )
    def lake() -> str:
        return render_template(
            "lake.html",
            lakes=database.dicts(LAKES),
            tables=database.dicts(TABLES),
            days=database.dicts(DAYS, {"days": SHOWN_DAYS}),
            failures=database.dicts(FAILURES, {"limit": SHOWN_FAILURES}),
        )

    return blueprint
