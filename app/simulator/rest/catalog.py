"""The endpoints of markets, order books, events and series."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from app.simulator.market.catalog import updated_us
from app.simulator.market.changes import SimBook
from app.simulator.market.objects import SimEvent, SimSeries
from app.simulator.market.plan import first_market_of, kind_of
from app.simulator.market.prices import contracts, dollars_text
from app.simulator.rest.filters import STATUSES, candidates, decode_cursor, page_of, predicates
from app.simulator.rest.queries import (
    EventQuery,
    EventsQuery,
    MultivariateEventsQuery,
    SeriesListQuery,
    SeriesQuery,
    SimBookQuery,
    SimMarketsQuery,
    bad_request,
    names,
    not_found,
    read_query,
)
from app.simulator.rest.site import Site, json_list, json_response
from app.simulator.websocket.dollar_frames import microseconds, whole_seconds

EMPTY = SimBook(0, [], [])
DEFAULT_LIMIT = 100


def market_routes(site: Site) -> Blueprint:
    routes = Blueprint("markets", __name__)

    @routes.get("/markets")
    def markets() -> Response:
        query = read_query(SimMarketsQuery)
        below = decode_cursor("markets", query.cursor)
        numbers = candidates(site, query, site.market_count() if below is None else below)
        page = page_of("markets", numbers, predicates(site, query), query.limit or DEFAULT_LIMIT)
        return _market_list(site, page.numbers, page.cursor)

    @routes.get("/markets/<ticker>")
    def market(ticker: str) -> Response:
        index, now_us = site.known_market(ticker), site.clock.now_us()
        if index is None or site.is_historical(index, site.cutoff_us()):
            raise not_found()
        if now_us < site.catalog.plan.market_created_us(index) + site.hidden_us:
            raise not_found()
        return json_response(b'{"market":%b}' % site.market_json(index), cached=True)

    @routes.get("/markets/<ticker>/orderbook")
    def orderbook(ticker: str) -> Response:
        depth = read_query(SimBookQuery).depth
        return json_response(b'{"orderbook_fp":%b}' % _book_json(_book(site, ticker), depth))

    @routes.get("/markets/orderbooks")
    def orderbooks() -> Response:
        tickers = request.args.getlist("tickers")
        if not 1 <= len(tickers) <= 100 or any(len(ticker) > 200 for ticker in tickers):
            raise bad_request("tickers: 1 to 100 of them, each up to 200 characters")
        return json_response(b'{"orderbooks":%b}' % json_list(_named_book(site, ticker) for ticker in tickers))

    return routes


def _market_list(site: Site, numbers: list[int], cursor: str) -> Response:
    bodies = json_list(site.market_json(index) for index in numbers)
    return json_response(b'{"markets":%b,"cursor":"%b"}' % (bodies, cursor.encode()), cached=True)


def _book(site: Site, ticker: str) -> SimBook:
    """Return the market's book; an empty one for an unknown market."""
    index = site.known_market(ticker)
    return EMPTY if index is None else site.exchange.book(index)


def _named_book(site: Site, ticker: str) -> bytes:
    return b'{"ticker":%b,"orderbook_fp":%b}' % (msgspec.json.encode(ticker), _book_json(_book(site, ticker), depth=0))


def _book_json(book: SimBook, depth: int) -> bytes:
    # Levels ascend by price: the best bids are the last ones.
    yes, no = (levels[-depth:] if depth > 0 else levels for levels in (book.yes, book.no))
    return msgspec.json.encode({"yes_dollars": _levels(yes), "no_dollars": _levels(no)})


def _levels(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(dollars_text(price_e6), contracts(size_e2)) for price_e6, size_e2 in levels]


def event_routes(site: Site) -> Blueprint:
    routes = Blueprint("events", __name__)

    @routes.get("/events")
    def events() -> Response:
        query = read_query(EventsQuery)
        tests: list[Callable[[int], bool]] = [lambda number: not kind_of(number).is_combo]
        tests += _tests(site, query)
        page = page_of("events", _candidates(site, query), tests, query.limit)
        bodies = json_list(_body(site, number, nested=query.with_nested_markets) for number in page.numbers)
        milestones = b',"milestones":[]' if query.with_milestones else b""
        return json_response(b'{"events":%b%b,"cursor":"%b"}' % (bodies, milestones, page.cursor.encode()))

    @routes.get("/events/multivariate")
    def multivariate_events() -> Response:
        query = read_query(MultivariateEventsQuery)
        if query.series_ticker and query.collection_ticker:
            raise bad_request("collection_ticker cannot be used together with series_ticker")
        tests: list[Callable[[int], bool]] = [lambda number: kind_of(number).is_combo]
        if query.collection_ticker:
            tests.append(lambda number: site.catalog.event(number).collection_ticker == query.collection_ticker)
        page = page_of("events", _candidates(site, query), tests, query.limit)
        bodies = json_list(_body(site, number, nested=query.with_nested_markets) for number in page.numbers)
        return json_response(b'{"events":%b,"cursor":"%b"}' % (bodies, page.cursor.encode()))

    @routes.get("/events/<ticker>")
    def event(ticker: str) -> Response:
        query = read_query(EventQuery)
        if query.with_nested_markets and query.exclude_markets:
            raise bad_request("exclude_markets cannot be combined with with_nested_markets")
        number = _known(site, ticker)
        if number is None:
            raise not_found()
        body = _body(site, number, nested=query.with_nested_markets)
        apart = not (query.with_nested_markets or query.exclude_markets)
        return json_response(b'{"event":%b,"markets":%b}' % (body, _markets(site, number) if apart else b"[]"))

    return routes


def _known(site: Site, ticker: str) -> int | None:
    """Return the event's number, or None if it does not exist yet."""
    number = site.catalog.index_of_event(ticker)
    return number if number is not None and number < _count(site) else None


def _count(site: Site) -> int:
    return site.catalog.event_count(site.clock.now_us())


def _candidates(site: Site, query: EventsQuery | MultivariateEventsQuery) -> Iterator[int]:
    place = decode_cursor("events", query.cursor)
    below = _count(site) if place is None else place
    if query.tickers:
        found = {number for ticker in names(query.tickers) if (number := _known(site, ticker)) is not None}
        numbers = iter(sorted(found, reverse=True))
    elif query.series_ticker:
        series = site.catalog.index_of_series(query.series_ticker)
        numbers = iter(()) if series is None else site.catalog.events_of_series(series, _count(site))
    else:
        return iter(range(below - 1, -1, -1))
    return (number for number in numbers if number < below)


def _tests(site: Site, query: EventsQuery) -> list[Callable[[int], bool]]:
    """Return the tests that an event must pass."""
    catalog, now_us, count = site.catalog, site.clock.now_us(), site.market_count()
    tests: list[Callable[[int], bool]] = []
    if query.series_ticker:
        tests.append(lambda number: catalog.event(number).series_ticker == query.series_ticker)
    if query.status:
        wanted = STATUSES[query.status]
        tests.append(lambda number: any(catalog.status(index, now_us) in wanted for index in _numbers(number, count)))
    if (closes_after := query.min_close_ts) is not None:
        tests.append(
            lambda number: any(
                catalog.close_us(index, now_us) > closes_after * 1_000_000 for index in _numbers(number, count)
            )
        )
    if (updated_after := query.min_updated_ts) is not None:
        tests.append(lambda number: updated_us(catalog.plan.life(number), 0, now_us) > updated_after * 1_000_000)
    return tests


def _numbers(number: int, market_count: int) -> range:
    """Return the numbers of the event's markets that exist already."""
    first = first_market_of(number)
    return range(first, min(first + kind_of(number).markets_per_event, market_count))


def _markets(site: Site, number: int) -> bytes:
    live = (index for index in _numbers(number, site.market_count()) if not site.is_historical(index, site.cutoff_us()))
    return json_list(site.market_json(index) for index in live)


def _body(site: Site, number: int, *, nested: bool) -> bytes:
    event = site.catalog.event(number, site.clock.now_us())
    body = msgspec.json.encode(_fields(event))
    return body[:-1] + b',"markets":' + _markets(site, number) + b"}" if nested else body


def _fields(event: SimEvent) -> dict[str, object]:
    return {
        "event_ticker": event.ticker,
        "series_ticker": event.series_ticker,
        "title": event.title,
        "sub_title": event.sub_title,
        "category": event.category,
        "collateral_return_type": event.collateral_return_type,
        "mutually_exclusive": event.mutually_exclusive,
        "settlement_sources": [{"name": "The simulated wire", "url": "https://example.com/results"}],
        "last_updated_ts": microseconds(event.updated_us),
        "fee_type_override": event.fee_type_override,
        "fee_multiplier_override": event.fee_multiplier_override,
        "exchange_index": event.exchange_index,
    }


def series_routes(site: Site) -> Blueprint:
    routes = Blueprint("series", __name__)

    @routes.get("/series")
    def series_list() -> Response:
        """Return all series in one answer: this list has no pages."""
        query = read_query(SeriesListQuery)
        every = map(site.catalog.series, range(site.catalog.series_count))
        found = [_series_body(site, series, query.include_volume) for series in every if _matches(site, series, query)]
        return json_response(msgspec.json.encode({"series": found}), cached=True)

    @routes.get("/series/<ticker>")
    def series(ticker: str) -> Response:
        index = site.catalog.index_of_series(ticker)
        if index is None:
            raise not_found()
        with_volume = read_query(SeriesQuery).include_volume
        body = _series_body(site, site.catalog.series(index), with_volume)
        return json_response(msgspec.json.encode({"series": body}), cached=True)

    return routes


def _matches(site: Site, series: SimSeries, query: SeriesListQuery) -> bool:
    tags = [tag for tag in query.tags.split(",") if tag]
    return (
        (not query.category or series.category == query.category)
        and (not tags or any(tag in series.tags for tag in tags))
        and (query.min_updated_ts is None or site.catalog.start_us > query.min_updated_ts * 1_000_000)
    )


def _series_body(site: Site, series: SimSeries, with_volume: bool) -> dict[str, Any]:
    volume = {"volume_fp": contracts(site.volume_of_series(series.number))} if with_volume else {}
    return {
        "ticker": series.ticker,
        "frequency": series.frequency,
        "title": series.title,
        "category": series.category,
        "categories": [series.category],
        "tags": list(series.tags),
        "settlement_sources": [{"name": "The simulated wire", "url": "https://example.com/results"}],
        "contract_url": f"https://example.com/contracts/{series.ticker}.pdf",
        "contract_terms_url": f"https://example.com/terms/{series.ticker}.pdf",
        "fee_type": series.fee_type,
        "fee_multiplier": series.fee_multiplier,
        "additional_prohibitions": [],
        "last_updated_ts": whole_seconds(site.catalog.start_us),
        "exchange_index": series.exchange_index,
        **volume,
    }
