from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec
from flask import Blueprint, Response

from app.simulator.changes import Trade
from app.simulator.decimals import ONE_DOLLAR_E6, contracts, dollars
from app.simulator.market_names import MarketNames
from app.simulator.rest.cursors import decode_cursor, encode_cursor
from app.simulator.rest.queries import TradesQuery, read_query
from app.simulator.rest.site import Site, json_response
from app.simulator.timestamps import microseconds

DEFAULT_LIMIT = 100


class Period(NamedTuple):
    """Of start <= time < end, in microseconds."""

    start_us: int
    end_us: int | None


class TradeBody(msgspec.Struct):
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
        return page("trades", Period(site.cutoff_us(), None))

    @routes.get("/historical/trades")
    def historical_trades() -> Response:
        """Trades before the cutoff: here, and no longer among the others."""
        return page("historical_trades", Period(0, site.cutoff_us()))

    def page(kind: str, shown: Period) -> Response:
        query = read_query(TradesQuery)
        limit = query.limit or DEFAULT_LIMIT
        found = list(islice(_meant(site, query, shown, decode_cursor(kind, query.cursor)), limit + 1))
        cursor = encode_cursor(kind, found[limit - 1][0]) if len(found) > limit else ""
        bodies = [trade_body(trade, names.of(trade.market).ticker) for _, trade in found[:limit]]
        return json_response(msgspec.json.encode({"trades": bodies, "cursor": cursor}))

    return routes


def trade_body(trade: Trade, ticker: str) -> TradeBody:
    side = "yes" if trade.taker_yes else "no"
    return TradeBody(
        trade_id=trade.trade_id,
        ticker=ticker,
        count_fp=contracts(trade.size_e2),
        yes_price_dollars=dollars(trade.yes_price_e6),
        no_price_dollars=dollars(ONE_DOLLAR_E6 - trade.yes_price_e6),
        taker_side=side,
        taker_outcome_side=side,
        taker_book_side="bid" if trade.taker_yes else "ask",
        created_time=microseconds(trade.at_us),
        is_block_trade=trade.is_block_trade,
    )


def _meant(site: Site, query: TradesQuery, shown: Period, before: int | None) -> Iterator[tuple[int, Trade]]:
    market = site.known_market(query.ticker) if query.ticker else None
    if query.ticker and market is None:
        return iter(())
    after_us = max((query.min_ts or 0) * 1_000_000, shown.start_us)
    ends_us = [end for end in (query.max_ts and query.max_ts * 1_000_000, shown.end_us) if end is not None]
    until_us = min(ends_us, default=None)
    newest_first = site.exchange.trades.newest_first(market, after_us, until_us, before)
    wanted = query.is_block_trade
    return (each for each in newest_first if wanted is None or each[1].is_block_trade == wanted)
