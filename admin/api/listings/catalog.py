"""Lists of what the exchange trades: markets, events, series."""

from dataclasses import replace

from admin.api.paging import (
    Filter,
    Key,
    Listing,
    asked_text,
    asked_time,
    equal,
    one_of,
    printable,
    shown,
    shown_flag,
    shown_number,
    shown_time,
)
from app.markets.market import STATUSES

MARKET_WORDS = "words_of(title || ' ' || coalesce(yes_sub_title, '') || ' ' || ticker) @@ words_begun(%(text)s)"
EVENT_WORDS = "words_of(title || ' ' || coalesce(sub_title, '') || ' ' || event_ticker) @@ words_begun(%(text)s)"

MARKET_COLUMNS = (
    *(shown("ticker"), shown("event_ticker"), shown("title"), shown("yes_sub_title"), shown("status")),
    *(shown("market_type"), shown("result"), shown_number("exchange_index"), shown("mve_collection_ticker")),
    *(shown_time("open_time"), shown_time("close_time"), shown_time("expiration_time"), shown_time("updated_time")),
)
MARKET_FILTERS = {
    **equal(event="event_ticker"),
    "series": Filter(
        "event_ticker IN (SELECT e.event_ticker FROM events AS e WHERE e.series_ticker = %(series)s)", asked_text()
    ),
    "text": Filter(MARKET_WORDS, asked_text()),
    "closes_before": Filter("close_time < %(closes_before)s", asked_time()),
    "closes_after": Filter("close_time >= %(closes_after)s", asked_time()),
}

MARKETS = Listing(
    path="/markets",
    name="markets",
    summary="Markets, in the order of their tickers.",
    columns=MARKET_COLUMNS,
    source="markets",
    keys=(Key("ticker", printable),),
    filters={**one_of("status", *STATUSES), **MARKET_FILTERS},
)
ACTIVE_MARKETS = replace(
    MARKETS,
    path="/markets/active",
    name="active_markets",
    envelope="markets",
    summary="Active markets.",
    source="(SELECT * FROM markets WHERE status = 'active') AS active",
    filters=MARKET_FILTERS,
)
EVENTS = Listing(
    path="/events",
    name="events",
    summary="Events: the questions that markets are about.",
    columns=(
        *(shown("event_ticker"), shown("series_ticker"), shown("title"), shown("sub_title")),
        *(shown_flag("mutually_exclusive"), shown_number("exchange_index"), shown_time("last_updated_ts")),
    ),
    source="events",
    keys=(Key("event_ticker", printable),),
    filters={**equal(series="series_ticker"), "text": Filter(EVENT_WORDS, asked_text())},
)
SERIES = Listing(
    path="/series",
    name="series",
    summary="Series: groups of recurring events.",
    columns=(
        *(shown("ticker"), shown("title"), shown("category"), shown("frequency"), shown_number("exchange_index")),
        shown_time("last_updated_ts"),
    ),
    source="series",
    keys=(Key("ticker", printable),),
    filters={
        **equal("category"),
        "text": Filter("strpos(lower(title || ' ' || ticker), lower(%(text)s)) > 0", asked_text()),
    },
)
