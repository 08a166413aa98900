"""Selection of markets by a query's filters, pages with cursors, and the filter combinations the exchange refuses."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import gevent

from app.simulator.market.plan import event_of, first_market_of, kind_of
from app.simulator.rest.queries import HistoricalMarketsQuery, SimMarketsQuery, bad_request, names
from app.simulator.rest.site import Site

STATUSES = {
    "unopened": {"initialized"},
    "open": {"active"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended"},
    "settled": {"finalized"},
}
STATUSES_WITH = {
    "created": {"", "unopened", "open"},
    "updated": {""},
    "close": {"", "closed"},
    "settled": {"", "settled"},
}


class Window(NamedTuple):
    """A range of timestamps of one kind, in whole seconds as queried."""

    kind: str
    after_s: int | None
    before_s: int | None

    def holds(self, at_us: int) -> bool:
        after = self.after_s is None or at_us > self.after_s * 1_000_000
        # "At or before" is documented for updates; for the others only "before" is, and they are treated alike.
        return after and (self.before_s is None or at_us <= self.before_s * 1_000_000)


def window_of(query: SimMarketsQuery) -> Window | None:
    """Return the query's window, or None if it has no timestamps. Raise SimProblem if the exchange refuses it."""
    windows = [
        Window("created", query.min_created_ts, query.max_created_ts),
        Window("updated", query.min_updated_ts, query.max_updated_ts),
        Window("close", query.min_close_ts, query.max_close_ts),
        Window("settled", query.min_settled_ts, query.max_settled_ts),
    ]
    given = [window for window in windows if (window.after_s, window.before_s) != (None, None)]
    if len(given) > 1:
        raise bad_request("timestamp filters are mutually exclusive")
    if not given:
        return None
    _check_company(given[0], query)
    return given[0]


def _check_company(window: Window, query: SimMarketsQuery) -> None:
    if query.status not in STATUSES_WITH[window.kind]:
        raise bad_request(f"{window.kind} timestamps cannot be combined with status {query.status}")
    if window.kind == "updated":
        if query.event_ticker or query.tickers or query.mve_filter == "only":
            raise bad_request("updated timestamps can only be combined with mve_filter=exclude and series_ticker")
        if query.series_ticker and query.mve_filter != "exclude":
            raise bad_request("series_ticker with updated timestamps requires mve_filter=exclude")


def candidates(site: Site, query: SimMarketsQuery | HistoricalMarketsQuery, below: int) -> Iterator[int]:
    """Return the narrowest sequence of markets that contains all matches, newest first, numbered below `below`."""
    if query.tickers:
        found = (site.known_market(ticker) for ticker in names(query.tickers))
        numbers: Iterator[int] = iter(sorted({index for index in found if index is not None}, reverse=True))
    elif query.event_ticker:
        event = site.catalog.index_of_event(query.event_ticker)
        numbers = iter(()) if event is None else reversed(_of_event(event))
    elif query.series_ticker:
        numbers = _of_series(site, query.series_ticker)
    else:
        return iter(range(below - 1, _first_created(site, query) - 1, -1))
    return (index for index in numbers if index < below)


def predicates(site: Site, query: SimMarketsQuery) -> list[Callable[[int], bool]]:
    """Return the tests that a market must all pass, the cheap ones first."""
    catalog, now_us = site.catalog, site.clock.now_us()
    window, statuses = window_of(query), STATUSES.get(query.status)
    tests: list[Callable[[int], bool]] = []
    if query.mve_filter:
        tests.append(lambda index: is_combo(index) == (query.mve_filter == "only"))
    if query.event_ticker:
        event = catalog.index_of_event(query.event_ticker)
        tests.append(lambda index: event_of(index)[0] == event)
    if query.series_ticker:
        tests.append(lambda index: catalog.market(index).series_ticker == query.series_ticker)
    if statuses:
        tests.append(lambda index: catalog.status(index, now_us) in statuses)
    if window:
        tests.append(lambda index: _is_within(site, window, index, now_us))
    cutoff_us = site.cutoff_us()
    # A young exchange has no historical markets: this spares a test for each of a million markets.
    if cutoff_us > catalog.plan.market_created_us(0):
        tests.append(lambda index: not site.is_historical(index, cutoff_us))
    return tests


def is_combo(index: int) -> bool:
    return kind_of(event_of(index)[0]).is_combo


def _is_within(site: Site, window: Window, index: int, now_us: int) -> bool:
    market = site.catalog.market(index, now_us)
    if window.kind == "settled" and site.catalog.status(index, now_us) != "finalized":
        return False
    at_us = {
        "created": market.created_us,
        "updated": market.updated_us,
        "close": market.close_us,
        "settled": market.settled_us,
    }
    return window.holds(at_us[window.kind])


def _first_created(site: Site, query: SimMarketsQuery | HistoricalMarketsQuery) -> int:
    """Return the lowest number that can match: markets are numbered in the order of their creation."""
    if not isinstance(query, SimMarketsQuery) or query.min_created_ts is None:
        return 0
    return site.catalog.plan.markets_created(query.min_created_ts * 1_000_000)


def _of_event(event: int) -> range:
    first = first_market_of(event)
    return range(first, first + kind_of(event).markets_per_event)


def _of_series(site: Site, ticker: str) -> Iterator[int]:
    series = site.catalog.index_of_series(ticker)
    if series is not None:
        for event in site.catalog.events_of_series(series, site.catalog.event_count(site.clock.now_us())):
            yield from reversed(_of_event(event))


# Cursors encode the place where a page ended, opaque to the client.


def encode_cursor(kind: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).rstrip(b"=").decode()


def decode_cursor(kind: str, cursor: str) -> int | None:
    """Return the place, or None for the first page. Raise SimProblem if it is not a cursor of this list."""
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise bad_request("invalid cursor") from None
    found, _, place = text.partition(":")
    if found != kind or not (place.isascii() and place.isdecimal()) or len(place) > 18:
        raise bad_request("invalid cursor")
    return int(place)


# A sparse filter may test a million markets: other greenlets run in between.
LOOKED_AT_ONCE = 2_000


class SimPage(NamedTuple):
    numbers: list[int]
    cursor: str


def page_of(kind: str, numbers: Iterable[int], tests: list[Callable[[int], bool]], limit: int) -> SimPage:
    """Return the first `limit` numbers that pass; the cursor is empty if no other follows."""
    found = list(islice(_passing(numbers, tests), limit + 1))
    more = len(found) > limit
    return SimPage(found[:limit], encode_cursor(kind, found[limit - 1]) if more else "")


def _passing(numbers: Iterable[int], tests: list[Callable[[int], bool]]) -> Iterator[int]:
    for looked_at, number in enumerate(numbers, start=1):
        if looked_at % LOOKED_AT_ONCE == 0:
            gevent.sleep(0)
        if not tests or all(test(number) for test in tests):
            yield number
