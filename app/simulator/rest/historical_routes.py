from flask import Blueprint, Response

from app.simulator.rest.cursors import decode_cursor
from app.simulator.rest.market_filter import candidates, is_combo
from app.simulator.rest.pages import page_of
from app.simulator.rest.problems import bad_request, not_found
from app.simulator.rest.queries import HistoricalMarketsQuery, read_query
from app.simulator.rest.site import Site, json_list, json_response

DEFAULT_LIMIT = 100


def historical_routes(site: Site) -> Blueprint:
    """Markets that settled before the cutoff: here, and no longer among the others."""
    routes = Blueprint("historical", __name__)

    @routes.get("/historical/markets")
    def markets() -> Response:
        query = read_query(HistoricalMarketsQuery)
        if sum(bool(given) for given in (query.tickers, query.event_ticker, query.series_ticker)) > 1:
            raise bad_request("filters are mutually exclusive")
        below = decode_cursor("historical", query.cursor)
        numbers = candidates(site, query, site.market_count() if below is None else below)
        cutoff_us = site.cutoff_us()
        tests = [lambda index: site.is_historical(index, cutoff_us)]
        if query.mve_filter:
            tests.append(lambda index: not is_combo(index))
        page = page_of("historical", numbers, tests, query.limit or DEFAULT_LIMIT)
        bodies = json_list(site.market_json(index) for index in page.numbers)
        return json_response(b'{"markets":%b,"cursor":"%b"}' % (bodies, page.cursor.encode()))

    @routes.get("/historical/markets/<ticker>")
    def market(ticker: str) -> Response:
        index = site.known_market(ticker)
        if index is None or not site.is_historical(index, site.cutoff_us()):
            raise not_found()
        return json_response(b'{"market":%b}' % site.market_json(index))

    return routes
