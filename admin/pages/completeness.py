"""The completeness page: the share of the time that is recorded, by day and channel; and what each gatherer received.

In: judged hours, lives of markets and gatherers' journals. Out: a table of days, the hours of one day, and for each
gatherer what it alone would have missed, and what the others would have missed without it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

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
from app.coverage.evidence import BOOKS, EXCHANGE_CHANNELS, SNAPSHOTS_US
from app.coverage.evidence import CHANNELS as CHANNELS_OF_TABLES
from app.ops.endpoint import endpoint
from app.ops.problems import HTML
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
# The times that a gatherer received are those of its subscriptions, without the gaps of their sockets and without what
# it lost, as app/coverage/evidence.py has it. Whoever unsubscribed after a market's close knew that nothing would come.
GATHERERS = """
    WITH gatherers AS (
        SELECT gatherer FROM gatherer_runs GROUP BY gatherer
        HAVING min(started_at) < %(to)s AND max(recorded_until) > %(from)s::TIMESTAMPTZ - INTERVAL '7 days'
    ),
    expected AS (
        SELECT
            %(books)s AS channel, ticker, greatest(open_time, %(from)s) AS opens, least(close_time, %(to)s) AS closes,
            least(traded_until(close_time), %(to)s) AS falls_silent
        FROM markets
        WHERE coalesce(open_time, '-infinity') < %(to)s AND coalesce(traded_until(close_time), 'infinity') > %(from)s
        UNION ALL
        SELECT channel, '', %(from)s, %(to)s, %(to)s FROM unnest(%(channels)s) AS channel
    ),
    life AS (
        SELECT channel, ticker, closes, tstzmultirange(tstzrange(opens, falls_silent)) AS times
        FROM expected WHERE opens < falls_silent
    ),
    gaps AS (
        SELECT
            gatherer, run_id, conn, CASE WHEN sid >= 0 THEN channel END AS channel,
            range_agg(tstzrange(started_at, ended_at)) AS times
        FROM gatherer_gaps WHERE started_at < %(to)s AND coalesce(ended_at, 'infinity') > %(from)s
        GROUP BY 1, 2, 3, 4
    ),
    tables AS (
        SELECT table_name, channel, CASE WHEN channel = %(books)s THEN %(lasts)s ELSE INTERVAL '0' END AS lasts
        FROM unnest(%(tables)s, %(channels_of_tables)s) AS known (table_name, channel)
    ),
    losses AS (
        SELECT gatherer, channel, ticker, range_agg(tstzrange(started_at, ended_at + lasts)) AS times
        FROM (
            SELECT gatherer, table_name, '' AS ticker, started_at, ended_at FROM gatherer_losses
            UNION ALL
            SELECT gatherer, table_name, ticker, started_at, ended_at FROM gatherer_refusals WHERE stored_at IS NULL
        ) AS lost
        JOIN tables USING (table_name)
        WHERE started_at < %(to)s AND ended_at + lasts > %(from)s
        GROUP BY gatherer, channel, ticker
    ),
    subscribed AS (
        SELECT s.gatherer, s.channel, s.ticker, life.times AS life, tstzmultirange(tstzrange(
            greatest(s.started_at, r.started_at),
            greatest(
                s.started_at, r.started_at,
                least(CASE WHEN s.ended_at < life.closes THEN s.ended_at END, r.delivered_until)
            )
        )) - coalesce(whole.times, '{}') - coalesce(own.times, '{}') AS times
        FROM gatherer_subscriptions AS s
        JOIN life ON life.channel = s.channel AND life.ticker = s.ticker
        JOIN gatherer_runs AS r ON r.gatherer = s.gatherer AND r.run_id = s.run_id
        LEFT JOIN gaps AS whole
            ON whole.gatherer = s.gatherer AND whole.run_id = s.run_id AND whole.conn = s.conn
            AND whole.channel IS NULL
        LEFT JOIN gaps AS own
            ON own.gatherer = s.gatherer AND own.run_id = s.run_id AND own.conn = s.conn AND own.channel = s.channel
        WHERE s.started_at < %(to)s AND (s.ended_at IS NULL OR s.ended_at > %(from)s)
            AND r.started_at < %(to)s AND r.delivered_until > %(from)s
    ),
    received AS (
        SELECT s.gatherer, s.channel, s.ticker,
            range_agg(s.life * s.times - coalesce(whole.times, '{}') - coalesce(own.times, '{}')) AS times
        FROM subscribed AS s
        LEFT JOIN losses AS whole ON whole.gatherer = s.gatherer AND whole.channel = s.channel AND whole.ticker = ''
        LEFT JOIN losses AS own
            ON own.gatherer = s.gatherer AND own.channel = s.channel AND own.ticker = s.ticker AND s.ticker <> ''
        GROUP BY s.gatherer, s.channel, s.ticker
    ),
    markets_received AS (
        SELECT channel, array_agg(gatherer) AS gatherers, array_agg(times) AS times FROM received
        GROUP BY channel, ticker
    ),
    sums AS (
        SELECT each.channel, own.gatherer, sum(received.length) AS received, sum(alone.length) AS alone
        FROM markets_received AS each
        CROSS JOIN unnest(each.gatherers, each.times) AS own (gatherer, times)
        CROSS JOIN LATERAL (
            SELECT coalesce(range_agg(other.times), '{}') AS times
            FROM unnest(each.gatherers, each.times) AS other (gatherer, times)
            WHERE other.gatherer <> own.gatherer
        ) AS others
        CROSS JOIN LATERAL (SELECT sum(upper(part) - lower(part)) AS length FROM unnest(own.times) AS part) AS received
        CROSS JOIN LATERAL (
            SELECT sum(upper(part) - lower(part)) AS length FROM unnest(own.times - others.times) AS part
        ) AS alone
        GROUP BY each.channel, own.gatherer
    ),
    possible AS (
        SELECT channel, sum(upper(part) - lower(part)) AS length
        FROM life CROSS JOIN unnest(times) AS part GROUP BY channel
    )
    SELECT
        gatherer, channel, extract(epoch FROM length)::FLOAT AS possible_seconds,
        extract(epoch FROM length - coalesce(received, '0'))::FLOAT AS missed_seconds,
        extract(epoch FROM coalesce(alone, '0'))::FLOAT AS alone_seconds
    FROM possible CROSS JOIN gatherers LEFT JOIN sums USING (channel, gatherer)
    ORDER BY array_position(%(order)s, channel), gatherer
"""
BEGAN = "SELECT min(started_at) FROM gatherer_runs"

Values = dict[str, Any]


class DayQuery(Schema):
    day = asked_time()


def completeness_pages(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("completeness", __name__, url_prefix="/completeness")
    query = DayQuery()
    # With 100,000 markets it takes seconds.
    found: dict[datetime, TtlCache[list[Mapping[str, Any]]]] = {}

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
        rows = found.setdefault(day, TtlCache(lambda: contributions(database, day), CACHED_SECONDS))()
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


def contributions(database: RequestDatabase, day: datetime) -> list[Mapping[str, Any]]:
    """Return what each gatherer missed of the known part of a day, and what it alone received."""
    known = [row for row in database.rows(DAYS, {"from": day}) if row[0] == day]
    if not known:
        return []
    _, hour, until, _ = known[0]
    (began,) = database.row(BEGAN) or (None,)
    since = max(hour, began or hour)
    pairs = [(table, channel) for table, channels in CHANNELS_OF_TABLES.items() for channel in channels]
    asked = {
        "from": since,
        "to": until,
        "books": BOOKS,
        "channels": list(EXCHANGE_CHANNELS),
        "lasts": SNAPSHOTS_US * MICROSECOND,
        "tables": [table for table, _ in pairs],
        "order": list(CHANNELS),
        "channels_of_tables": [channel for _, channel in pairs],
    }
    return [_with_share(row) for row in database.dicts(GATHERERS, asked)]


def _with_share(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "share": max(0.0, 1 - row["missed_seconds"] / row["possible_seconds"])}
