"""The endpoints of trades, of historical markets and of candlesticks."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response

from app.simulator.market.catalog import MarketNames
from app.simulator.market.changes import SimTrade
from app.simulator.market.history import Distribution, SimCandle
from app.simulator.market.prices import ONE_DOLLAR_E6, contracts, dollars_text
from app.simulator.rest.filters import candidates, decode_cursor, encode_cursor, is_combo, page_of
from app.simulator.rest.queries import (
    BatchCandlesQuery,
    CandlesQuery,
    HistoricalMarketsQuery,
    TradesQuery,
    bad_request,
    names,
    not_found,
    read_query,
)
from app.simulator.rest.site import Site, json_list, json_response
from app.simulator.websocket.dollar_frames import microseconds

DEFAULT_LIMIT = 100


class SimPeriod(NamedTuple):
    """A period of start <= time < end, in microseconds; without an end if that is None."""

    start_us: int
    end_us: int | None


class SimTradeBody(msgspec.Struct):
    trade_id: str
    ticker: str
    count_fp: str
    yes_price_dollars: str
    no_price_dollars: str
    taker_side: str
    taker_outcome_side: str
    taker_book_side: str
    created_time: str
    is_block_trade: bool


def trade_routes(site: Site) -> Blueprint:
    routes = Blueprint("trades", __name__)
    names = MarketNames(site.catalog)

    @routes.get("/markets/trades")
    def trades() -> Response:
        return page("trades", SimPeriod(site.cutoff_us(), None))

    @routes.get("/historical/trades")
    def historical_trades() -> Response:
        """Return trades before the cutoff, which the endpoint of live trades no longer contains."""
        return page("historical_trades", SimPeriod(0, site.cutoff_us()))

    def page(kind: str, shown: SimPeriod) -> Response:
        query = read_query(TradesQuery)
        limit = query.limit or DEFAULT_LIMIT
        found = list(islice(_selected(site, query, shown, decode_cursor(kind, query.cursor)), limit + 1))
        cursor = encode_cursor(kind, found[limit - 1][0]) if len(found) > limit else ""
        bodies = [trade_body(trade, names.of(trade.market).ticker) for _, trade in found[:limit]]
        return json_response(msgspec.json.encode({"trades": bodies, "cursor": cursor}))

    return routes


def trade_body(trade: SimTrade, ticker: str) -> SimTradeBody:
    side = "yes" if trade.taker_yes else "no"
    return SimTradeBody(
        trade_id=trade.trade_id,
        ticker=ticker,
        count_fp=contracts(trade.size_e2),
        yes_price_dollars=dollars_text(trade.yes_price_e6),
        no_price_dollars=dollars_text(ONE_DOLLAR_E6 - trade.yes_price_e6),
        taker_side=side,
        taker_outcome_side=side,
        taker_book_side="bid" if trade.taker_yes else "ask",
        created_time=microseconds(trade.at_us),
        is_block_trade=trade.is_block_trade,
    )


def _selected(site: Site, query: TradesQuery, shown: SimPeriod, before: int | None) -> Iterator[tuple[int, SimTrade]]:
    """Return an iterator over the matching trades with their numbers, newest first."""
    market = site.known_market(query.ticker) if query.ticker else None
    if query.ticker and market is None:
        return iter(())
    after_us = max((query.min_ts or 0) * 1_000_000, shown.start_us)
    ends_us = [end for end in (query.max_ts and query.max_ts * 1_000_000, shown.end_us) if end is not None]
    until_us = min(ends_us, default=None)
    newest_first = site.exchange.trades.newest_first(market, after_us, until_us, before)
    wanted = query.is_block_trade
    return (each for each in newest_first if wanted is None or each[1].is_block_trade == wanted)


def historical_routes(site: Site) -> Blueprint:
    """Return the routes of markets that settled before the cutoff, which /markets no longer contains."""
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


LIMIT_PERIODS = 5_000
LIMIT_CANDLES = 10_000
LIMIT_MARKETS = 100


def candle_routes(site: Site) -> Blueprint:
    routes = Blueprint("candles", __name__)

    @routes.get("/series/<series>/markets/<ticker>/candlesticks")
    def of_market(series: str, ticker: str) -> Response:
        query = read_query(CandlesQuery)
        _check_span(query, LIMIT_PERIODS)
        index = site.known_market(ticker)
        if index is None or site.catalog.market(index).series_ticker != series:
            raise not_found()
        return json_response(msgspec.json.encode({"ticker": ticker, "candlesticks": _bodies(site, index, query)}))

    @routes.get("/markets/candlesticks")
    def of_markets() -> Response:
        query = read_query(BatchCandlesQuery)
        tickers = names(query.market_tickers)
        if not 1 <= len(tickers) <= LIMIT_MARKETS:
            raise bad_request("market_tickers: 1 to 100 of them")
        _check_span(query, LIMIT_CANDLES // len(tickers))
        known = ((ticker, site.known_market(ticker)) for ticker in tickers)
        markets = [
            {"market_ticker": ticker, "candlesticks": _bodies(site, index, query)}
            for ticker, index in known
            if index is not None
        ]
        return json_response(msgspec.json.encode({"markets": markets}))

    @routes.get("/series/<series>/events/<ticker>/candlesticks")
    def of_event(series: str, ticker: str) -> Response:
        query = read_query(CandlesQuery)
        number = site.catalog.index_of_event(ticker)
        if number is None or site.catalog.event(number).series_ticker != series:
            raise not_found()
        event = site.catalog.event(number)
        _check_span(query, LIMIT_PERIODS)
        markets = [event.first_market + position for position in range(event.market_count)]
        body = {
            "market_tickers": [site.catalog.ticker(index) for index in markets],
            "market_candlesticks": [_bodies(site, index, query) for index in markets],
            "adjusted_end_ts": query.end_ts,
        }
        return json_response(msgspec.json.encode(body))

    return routes


def _check_span(query: CandlesQuery | BatchCandlesQuery, limit_periods: int) -> None:
    if query.end_ts < query.start_ts:
        raise bad_request("end_ts is before start_ts")
    if (query.end_ts - query.start_ts) // (query.period_interval * 60) > limit_periods:
        raise bad_request(f"more than {limit_periods} periods")


def _bodies(site: Site, index: int, query: CandlesQuery | BatchCandlesQuery) -> list[dict[str, Any]]:
    """Return the candles of a period, preceded by the latest one before it if the query asks for that."""
    start_us = 0 if query.include_latest_before_start else query.start_ts * 1_000_000
    found = site.exchange.candles(index, start_us, (query.end_ts + 1) * 1_000_000, query.period_interval)
    open_interest_e2 = site.exchange.quote(index).open_interest_e2
    before = [candle for candle in found if candle.end_period_ts < query.start_ts][-1:]
    inside = [candle for candle in found if query.start_ts <= candle.end_period_ts <= query.end_ts]
    return [candle_body(candle, open_interest_e2) for candle in (*before, *inside)]


def candle_body(candle: SimCandle, open_interest_e2: int) -> dict[str, Any]:
    price = _distribution(candle.price)
    previous = None if candle.previous_e6 is None else dollars_text(candle.previous_e6)
    return {
        "end_period_ts": candle.end_period_ts,
        "yes_bid": _distribution(candle.yes_bid),
        "yes_ask": _distribution(candle.yes_ask),
        "price": price
        | {
            "mean_dollars": dollars_text(candle.mean_e6),
            "min_dollars": price["low_dollars"],
            "max_dollars": price["high_dollars"],
        }
        | ({"previous_dollars": previous} if previous else {}),
        "volume_fp": contracts(candle.volume_e2),
        "open_interest_fp": contracts(open_interest_e2),
    }


def _distribution(distribution: Distribution) -> dict[str, str]:
    return {
        "open_dollars": dollars_text(distribution.open_e6),
        "low_dollars": dollars_text(distribution.low_e6),
        "high_dollars": dollars_text(distribution.high_e6),
        "close_dollars": dollars_text(distribution.close_e6),
    }
