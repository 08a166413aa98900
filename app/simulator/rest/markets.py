import msgspec
from flask import Blueprint, Response, request

from app.simulator.changes import Book
from app.simulator.decimals import contracts, dollars
from app.simulator.rest.cursors import decode_cursor
from app.simulator.rest.market_filter import candidates, predicates
from app.simulator.rest.pages import page_of
from app.simulator.rest.problems import bad_request, not_found
from app.simulator.rest.queries import BookQuery, MarketsQuery, read_query
from app.simulator.rest.site import Site, json_list, json_response

EMPTY = Book(0, [], [])
DEFAULT_LIMIT = 100


def market_routes(site: Site) -> Blueprint:
    routes = Blueprint("markets", __name__)

    @routes.get("/markets")
    def markets() -> Response:
        query = read_query(MarketsQuery)
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
        depth = read_query(BookQuery).depth
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


def _book(site: Site, ticker: str) -> Book:
    """Of an unknown market: an empty one."""
    index = site.known_market(ticker)
    return EMPTY if index is None else site.exchange.book(index)


def _named_book(site: Site, ticker: str) -> bytes:
    return b'{"ticker":%b,"orderbook_fp":%b}' % (msgspec.json.encode(ticker), _book_json(_book(site, ticker), depth=0))


def _book_json(book: Book, depth: int) -> bytes:
    # The best bids are the last ones.
    yes, no = (levels[-depth:] if depth > 0 else levels for levels in (book.yes, book.no))
    return msgspec.json.encode({"yes_dollars": _levels(yes), "no_dollars": _levels(no)})


def _levels(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(dollars(price_e6), contracts(size_e2)) for price_e6, size_e2 in levels]
