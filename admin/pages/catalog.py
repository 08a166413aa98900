"""What is traded: the search, an event with all its strikes, and a series with its events.

In: words, or a name. Out: pages. The completeness of a market is the share of the last day in which its book was
received, of the time that it was open and is known.
"""

from typing import Any

import msgspec
from flask import Blueprint, render_template, request

from admin.api.listings.catalog import EVENTS, MARKETS, SERIES
from admin.api.market_data import json_of
from admin.api.paging import Listing, one_page
from admin.web.database import RequestDatabase
from app.coverage.evidence import BOOKS
from app.ops.endpoint import checked_path, endpoint
from app.ops.problems import HTML

FOUND_MARKETS = 50
FOUND_OTHERS = 8
SHOWN_STRIKES = 300
SHOWN_EVENTS = 100

EVENT = """
    SELECT e.*, s.title AS series_title FROM events AS e LEFT JOIN series AS s ON s.ticker = e.series_ticker
    WHERE e.event_ticker = %(name)s
"""
# Of each market its last quote; and for how long it was open in the last known day, without what is missing of that.
STRIKES = """
    WITH known AS (
        SELECT max(known_until) AS until, greatest(
            max(known_until) - INTERVAL '1 day', (SELECT min(started_at) FROM gatherer_runs)
        ) AS since
        FROM coverage_hours WHERE known_until > hour
    ),
    shown AS (
        SELECT
            *, count(*) OVER () AS markets,
            CASE
                WHEN jsonb_typeof(details -> 'floor_strike') = 'number' THEN (details ->> 'floor_strike')::NUMERIC
                WHEN jsonb_typeof(details -> 'cap_strike') = 'number' THEN (details ->> 'cap_strike')::NUMERIC
            END AS strike
        FROM markets WHERE event_ticker = %(event)s ORDER BY strike, ticker LIMIT %(limit)s
    )
    SELECT
        m.ticker, m.yes_sub_title, m.title, m.status, m.result, m.close_time, m.markets, quote.*,
        life.seconds::FLOAT AS open_seconds, coalesce(missing.seconds, 0)::FLOAT AS missing_seconds
    FROM shown AS m
    CROSS JOIN known
    LEFT JOIN LATERAL (
        SELECT price_e6, yes_bid_e6, yes_ask_e6, readable.contracts(volume_e2)::TEXT AS volume
        FROM tickers WHERE ticker = m.ticker ORDER BY exchange_ts DESC, ingest_id DESC LIMIT 1
    ) AS quote ON TRUE
    LEFT JOIN LATERAL (
        SELECT extract(
            epoch FROM least(traded_until(m.close_time), known.until) - greatest(m.open_time, known.since)
        ) AS seconds
    ) AS life ON known.until > known.since
    LEFT JOIN LATERAL (
        SELECT extract(epoch FROM sum(least(h.until, known.until) - greatest(h.since, known.since))) AS seconds
        FROM coverage_holes AS h
        WHERE h.ticker = m.ticker AND h.channel = %(books)s AND h.hour > known.since - INTERVAL '1 hour'
            AND h.until > known.since
    ) AS missing ON TRUE
    ORDER BY m.strike, m.ticker
"""
EVENTS_OF_SERIES = """
    SELECT e.event_ticker, e.title, e.sub_title, count(m.ticker) AS markets,
        count(*) FILTER (WHERE m.status = 'active') AS active, min(m.open_time) AS opens, max(m.close_time) AS closes,
        count(*) OVER () AS events
    FROM events AS e LEFT JOIN markets AS m USING (event_ticker)
    WHERE e.series_ticker = %(series)s GROUP BY e.event_ticker
    ORDER BY closes DESC NULLS FIRST, e.event_ticker LIMIT %(limit)s
"""
SERIES_ROW = "SELECT * FROM series WHERE ticker = %(name)s"

Values = dict[str, Any]


def catalog_pages(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("catalog", __name__)

    @blueprint.get("/markets")
    @endpoint("Series, events and markets, found by words.", types=(HTML,))
    def markets() -> str:
        text = _printable(request.args.get("text", ""))
        after = _printable(request.args.get("after", "")) or None
        # A script replaces only the list; the first request, or a browser without scripts, gets the whole page.
        template = "parts/markets.html" if "X-Requested-With" in request.headers else "markets.html"
        return render_template(template, text=text, **_found(database, text, after))

    @blueprint.get("/events/<event_ticker>")
    @endpoint("An event: all its strikes with prices, volume and completeness.", types=(HTML,))
    def event(event_ticker: str) -> str:
        name = checked_path({"event_ticker": event_ticker})["event_ticker"]
        found = msgspec.json.decode(json_of(database, EVENT, name, "event"))
        strikes = database.dicts(STRIKES, {"event": name, "books": BOOKS, "limit": SHOWN_STRIKES})
        return render_template("event.html", event=found, strikes=[_with_share(each) for each in strikes])

    @blueprint.get("/series/<ticker>")
    @endpoint("A series and its events.", types=(HTML,))
    def series(ticker: str) -> str:
        name = checked_path({"ticker": ticker})["ticker"]
        found = msgspec.json.decode(json_of(database, SERIES_ROW, name, "series"))
        events = database.dicts(EVENTS_OF_SERIES, {"series": name, "limit": SHOWN_EVENTS})
        return render_template("series.html", series=found, events=events)

    return blueprint


def _printable(text: str) -> str:
    return "".join(letter for letter in text[:200] if letter.isprintable()).strip()


def _found(database: RequestDatabase, text: str, after: str | None) -> Values:
    asked = {"text": text or None, "status": None if text else "active", "order": "asc", "after": after}
    page = one_page(database, MARKETS, asked, FOUND_MARKETS)
    others = (
        {"events": [], "series": []}
        if after or not text
        else {
            "events": _first(database, EVENTS, text),
            "series": _first(database, SERIES, text),
        }
    )
    return {"markets": page.decoded(), "next": page.next, "is_first": after is None, **others}


def _first(database: RequestDatabase, listing: Listing, text: str) -> list[Values]:
    return one_page(database, listing, {"text": text, "order": "asc", "after": None}, FOUND_OTHERS).decoded()


def _with_share(strike: Values) -> Values:
    """Add the share of the last known day that is recorded. It is None for a market that was not open then."""
    seconds = strike["open_seconds"]
    share = max(0.0, 1 - strike["missing_seconds"] / seconds) if seconds and seconds > 0 else None
    return {**strike, "share": share}
