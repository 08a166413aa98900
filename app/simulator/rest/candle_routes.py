from typing import Any

import msgspec
from flask import Blueprint, Response

from app.simulator.candles import Candle, Distribution
from app.simulator.decimals import contracts, dollars
from app.simulator.rest.problems import bad_request, not_found
from app.simulator.rest.queries import BatchCandlesQuery, CandlesQuery, names, read_query
from app.simulator.rest.site import Site, json_response

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
    start_us = 0 if query.include_latest_before_start else query.start_ts * 1_000_000
    found = site.exchange.candles(index, start_us, (query.end_ts + 1) * 1_000_000, query.period_interval)
    open_interest_e2 = site.exchange.quote(index).open_interest_e2
    before = [candle for candle in found if candle.end_period_ts < query.start_ts][-1:]
    inside = [candle for candle in found if query.start_ts <= candle.end_period_ts <= query.end_ts]
    return [candle_body(candle, open_interest_e2) for candle in (*before, *inside)]


def candle_body(candle: Candle, open_interest_e2: int) -> dict[str, Any]:
    price = _distribution(candle.price)
    previous = None if candle.previous_e6 is None else dollars(candle.previous_e6)
    return {
        "end_period_ts": candle.end_period_ts,
        "yes_bid": _distribution(candle.yes_bid),
        "yes_ask": _distribution(candle.yes_ask),
        "price": price
        | {
            "mean_dollars": dollars(candle.mean_e6),
            "min_dollars": price["low_dollars"],
            "max_dollars": price["high_dollars"],
        }
        | ({"previous_dollars": previous} if previous else {}),
        "volume_fp": contracts(candle.volume_e2),
        "open_interest_fp": contracts(open_interest_e2),
    }


def _distribution(distribution: Distribution) -> dict[str, str]:
    return {
        "open_dollars": dollars(distribution.open_e6),
        "low_dollars": dollars(distribution.low_e6),
        "high_dollars": dollars(distribution.high_e6),
        "close_dollars": dollars(distribution.close_e6),
    }
