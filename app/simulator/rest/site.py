"""The data from which the endpoints answer, and the JSON form of a market."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal, NamedTuple

import msgspec
from flask import Response
from msgspec import UNSET, UnsetType

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimTicker
from app.simulator.market.exchange import Exchange
from app.simulator.market.kinds import DAY_US, Phase
from app.simulator.market.objects import SimMarket
from app.simulator.market.prices import ONE_DOLLAR_E6, PriceRange, contracts, dollars_text
from app.simulator.runtime import Clock
from app.simulator.websocket.dollar_frames import microseconds, whole_seconds

# The JSON form of a market on REST.

SETTLEMENT_TIMER_SECONDS = 60
EXPIRES_AFTER_CLOSE_US = 7 * 86_400_000_000
EXPECTED_AFTER_CLOSE_US = 300_000_000
SETTLEMENT_VALUES = {"yes": "1.0000", "no": "0.0000"}


class RangeBody(msgspec.Struct):
    start: str
    end: str
    step: str


class LegBody(msgspec.Struct):
    event_ticker: str
    market_ticker: str
    side: str


class MarketBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    ticker: str
    event_ticker: str
    exchange_index: int
    title: str
    yes_sub_title: str
    no_sub_title: str
    created_time: str
    updated_time: str
    open_time: str
    close_time: str
    expected_expiration_time: str
    expiration_time: str
    latest_expiration_time: str
    status: str
    result: str
    yes_bid_dollars: str
    yes_bid_size_fp: str
    yes_ask_dollars: str
    yes_ask_size_fp: str
    no_bid_dollars: str
    no_ask_dollars: str
    last_price_dollars: str
    volume_fp: str
    volume_24h_fp: str
    open_interest_fp: str
    price_level_structure: str
    price_ranges: list[RangeBody]
    rules_primary: str
    settlement_value_dollars: str | UnsetType = UNSET
    settlement_ts: str | UnsetType = UNSET
    strike_type: Literal["greater_or_equal"] | UnsetType = UNSET
    floor_strike: int | UnsetType = UNSET
    mve_collection_ticker: str | UnsetType = UNSET
    mve_selected_legs: list[LegBody] | UnsetType = UNSET
    is_provisional: bool | UnsetType = UNSET


# The same for every market, and therefore not in the struct: encoding them a million times would be expensive.
CONSTANTS = msgspec.json.encode(
    {
        "market_type": "binary",
        "settlement_timer_seconds": SETTLEMENT_TIMER_SECONDS,
        "settlement_bounds_type": "default",
        "can_close_early": True,
        "expiration_value": "",
        "rules_secondary": "",
        "notional_value_dollars": "1.0000",
        "previous_yes_bid_dollars": "0.0000",
        "previous_yes_ask_dollars": "0.0000",
        "previous_price_dollars": "0.0000",
        # Removed from the specification in September 2026, but still sent; a strict client requires it.
        "liquidity_dollars": "0.0000",
    }
)
_ranges: dict[tuple[PriceRange, ...], list[RangeBody]] = {}
_encoder = msgspec.json.Encoder()


def market_json(market: SimMarket, status: str, quote: SimTicker) -> bytes:
    """Return the market's JSON object."""
    return CONSTANTS[:-1] + b"," + _encoder.encode(_body(market, status, quote))[1:]


def _body(market: SimMarket, status: str, quote: SimTicker) -> MarketBody:
    expires = whole_seconds(market.close_us + EXPIRES_AFTER_CLOSE_US)
    body = MarketBody(
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        exchange_index=market.exchange_index,
        title=market.title,
        yes_sub_title=market.yes_sub_title,
        no_sub_title=market.no_sub_title,
        created_time=microseconds(market.created_us),
        updated_time=microseconds(market.updated_us),
        open_time=whole_seconds(market.open_us),
        close_time=whole_seconds(market.close_us),
        expected_expiration_time=whole_seconds(market.close_us + EXPECTED_AFTER_CLOSE_US),
        expiration_time=expires,
        latest_expiration_time=expires,
        status=status,
        result=market.result,
        yes_bid_dollars=dollars_text(quote.yes_bid_e6),
        yes_bid_size_fp=contracts(quote.yes_bid_size_e2),
        yes_ask_dollars=dollars_text(quote.yes_ask_e6),
        yes_ask_size_fp=contracts(quote.yes_ask_size_e2),
        no_bid_dollars=dollars_text(ONE_DOLLAR_E6 - quote.yes_ask_e6),
        no_ask_dollars=dollars_text(ONE_DOLLAR_E6 - quote.yes_bid_e6),
        last_price_dollars=dollars_text(quote.price_e6 or 0),
        volume_fp=contracts(quote.volume_e2),
        volume_24h_fp=contracts(quote.volume_e2),
        open_interest_fp=contracts(quote.open_interest_e2),
        price_level_structure=market.price_level_structure,
        price_ranges=_range_bodies(market.price_ranges),
        rules_primary=f"If it comes true, {market.event_ticker} resolves to Yes.",
    )
    _add_ending(body, market, status)
    _add_terms(body, market)
    return body


def _add_ending(body: MarketBody, market: SimMarket, status: str) -> None:
    if market.result:
        body.settlement_value_dollars = SETTLEMENT_VALUES[market.result]
    if status == "finalized":
        body.settlement_ts = microseconds(market.settled_us)


def _add_terms(body: MarketBody, market: SimMarket) -> None:
    if not market.is_combo:
        body.strike_type, body.floor_strike = "greater_or_equal", market.floor_strike
        return
    body.is_provisional = True
    body.mve_collection_ticker = market.collection_ticker
    body.mve_selected_legs = [LegBody(*leg) for leg in market.legs]


def _range_bodies(ranges: tuple[PriceRange, ...]) -> list[RangeBody]:
    if ranges not in _ranges:
        _ranges[ranges] = [RangeBody(*(dollars_text(price_e6) for price_e6 in each)) for each in ranges]
    return _ranges[ranges]


# Among a million markets a series has tens of thousands of events: its volume is summed over the latest ones.
SUMMED_EVENTS = 100


class Site(NamedTuple):
    """The catalog, the exchange and the clock, with the questions that several endpoints ask of them."""

    catalog: Catalog
    exchange: Exchange
    clock: Clock
    hidden_us: int  # how long a new market is not found by its ticker
    live_window_us: int  # markets that settled before it are historical
    is_trading: Callable[[], bool]

    def market_count(self) -> int:
        """Return the number of markets that exist now."""
        return self.catalog.count(self.clock.now_us())

    def cutoff_us(self) -> int:
        """Return the cutoff between live and historical data; it moves once a day, as on the exchange."""
        return (self.clock.now_us() - self.live_window_us) // DAY_US * DAY_US

    def is_historical(self, index: int, cutoff_us: int) -> bool:
        settled_us = self.catalog.plan.turn_us(index, Phase.SETTLED)
        return settled_us < cutoff_us

    def volume_of_series(self, series: int) -> int:
        """Return the volume of the series' latest events."""
        events = self.catalog.events_of_series(series, self.catalog.event_count(self.clock.now_us()))
        shown = (self.catalog.event(number) for number in islice(events, SUMMED_EVENTS))
        markets = (event.first_market + position for event in shown for position in range(event.market_count))
        count = self.market_count()
        return sum(self.exchange.quote(index).volume_e2 for index in markets if index < count)

    def known_market(self, ticker: str) -> int | None:
        """Return the market's number, or None if it does not exist yet."""
        index = self.catalog.index_of(ticker)
        return index if index is not None and index < self.market_count() else None

    def market_json(self, index: int) -> bytes:
        now_us = self.clock.now_us()
        quote = self.exchange.quote(index)
        return market_json(self.catalog.market(index, now_us), self.catalog.status(index, now_us), quote)


def json_response(body: bytes, *, cached: bool = False) -> Response:
    response = Response(body, mimetype="application/json")
    if cached:
        # On the exchange, markets and series pass through a content delivery network; order books and trades do not.
        response.headers["cache-control"] = "public, max-age=15"
    return response


def json_list(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
