from collections.abc import Callable, Iterator

import msgspec
from flask import Blueprint, Response

from app.simulator.knowledge import updated_us
from app.simulator.listing import Event
from app.simulator.plan import first_market_of, kind_of
from app.simulator.rest.cursors import decode_cursor
from app.simulator.rest.market_filter import STATUSES
from app.simulator.rest.pages import page_of
from app.simulator.rest.problems import bad_request, not_found
from app.simulator.rest.queries import EventQuery, EventsQuery, MultivariateEventsQuery, names, read_query
from app.simulator.rest.site import Site, json_list, json_response
from app.simulator.timestamps import microseconds


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
    """Of the event's markets that are there already."""
    first = first_market_of(number)
    return range(first, min(first + kind_of(number).markets_per_event, market_count))


def _markets(site: Site, number: int) -> bytes:
    live = (index for index in _numbers(number, site.market_count()) if not site.is_historical(index, site.cutoff_us()))
    return json_list(site.market_json(index) for index in live)


def _body(site: Site, number: int, *, nested: bool) -> bytes:
    event = site.catalog.event(number, site.clock.now_us())
    body = msgspec.json.encode(_fields(event))
    return body[:-1] + b',"markets":' + _markets(site, number) + b"}" if nested else body


def _fields(event: Event) -> dict[str, object]:
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
