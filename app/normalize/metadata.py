"""Rows of series, events and markets, from REST's JSON.

Known members become columns, the rest one JSON column of details.
"""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from app.kalshi.rest_objects import RestEvent, RestMarket, RestSeries
from app.normalize.values import decoded, money_e6, rfc3339_us
from app.storage.tables import EVENTS, MARKETS, SERIES, Row, Table

# Quotes change all the time and are recorded as tickers; in the details they would make every market look changed at
# every poll.
QUOTES = frozenset(
    {
        *(f"{side}_{what}_dollars" for side in ("yes", "no") for what in ("bid", "ask")),
        *(f"{side}_{what}" for side in ("yes", "no") for what in ("bid", "ask")),
        *("yes_bid_size_fp", "yes_ask_size_fp", "last_price_dollars", "last_price"),
        *("previous_yes_bid_dollars", "previous_yes_ask_dollars", "previous_price_dollars"),
        *("previous_yes_bid", "previous_yes_ask", "previous_price"),
        *("volume_fp", "volume_24h_fp", "open_interest_fp", "volume", "volume_24h", "open_interest"),
        *("liquidity_dollars", "liquidity", "dollar_volume", "dollar_open_interest"),
    }
)


def _not_details(table: Table, *others: str) -> frozenset[str]:
    return QUOTES | frozenset(table.column_names) | frozenset(others)


NOT_SERIES_DETAILS = _not_details(SERIES)
NOT_EVENT_DETAILS = _not_details(EVENTS, "markets")
NOT_MARKET_DETAILS = _not_details(MARKETS, "settlement_value_dollars")

_series_decoder = msgspec.json.Decoder(RestSeries)
_event_decoder = msgspec.json.Decoder(RestEvent)
_market_decoder = msgspec.json.Decoder(RestMarket)
# Strikes and multipliers keep the digits they were written with: a float would round them.
_any_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


def series_row(content: bytes | Raw, updated_us: int) -> Row:
    series = decoded(_series_decoder, content)
    return (
        series.ticker,
        series.title,
        series.category,
        series.frequency,
        series.exchange_index,
        _moment_us(series.last_updated_ts),
        updated_us,
        _details(content, NOT_SERIES_DETAILS),
    )


def event_row(content: bytes | Raw, updated_us: int) -> Row:
    event = decoded(_event_decoder, content)
    return (
        event.event_ticker,
        event.series_ticker,
        event.title,
        event.sub_title,
        event.mutually_exclusive,
        event.exchange_index,
        _moment_us(event.last_updated_ts),
        updated_us,
        _details(content, NOT_EVENT_DETAILS),
    )


def market_row(content: bytes | Raw, updated_us: int) -> Row:
    market = decoded(_market_decoder, content)
    value = market.settlement_value_dollars
    return (
        market.ticker,
        market.event_ticker,
        market.title,
        market.yes_sub_title,
        market.no_sub_title,
        market.status,
        market.market_type,
        market.result,
        market.exchange_index,
        _moment_us(market.created_time),
        _moment_us(market.open_time),
        _moment_us(market.close_time),
        _moment_us(market.expiration_time or market.latest_expiration_time),
        _moment_us(market.settlement_ts),
        money_e6(value) if value else None,
        market.price_level_structure,
        market.mve_collection_ticker,
        _moment_us(market.updated_time),
        updated_us,
        _details(content, NOT_MARKET_DETAILS),
    )


def _details(content: bytes | Raw, left_out: frozenset[str]) -> bytes:
    details = decoded(_any_decoder, content)
    return _encode({key: value for key, value in details.items() if key not in left_out})


def _moment_us(text: str | None) -> int | None:
    return rfc3339_us(text) if text else None
