"""What REST answers, as far as we store it by column; what else an object says is kept as its details."""

import msgspec

from app.kalshi.records import DollarLevels, TradeFacts
from app.kalshi.wire_types import Cents, Contracts


class RestTrade(TradeFacts, frozen=True):
    ticker: str
    created_time: str


class RestBook(msgspec.Struct, frozen=True, kw_only=True):
    yes_dollars: DollarLevels | None = None
    no_dollars: DollarLevels | None = None


class OlderRestBook(msgspec.Struct, frozen=True, kw_only=True):
    """Cents and whole contracts; dollars beside them where there are any."""

    yes_dollars: list[tuple[str, Contracts]] | None = None
    no_dollars: list[tuple[str, Contracts]] | None = None
    yes: list[tuple[Cents, Contracts]] | None = None
    no: list[tuple[Cents, Contracts]] | None = None


class BookOfMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One of those that /markets/orderbooks answers with."""

    ticker: str
    orderbook_fp: RestBook | None = None
    orderbook: OlderRestBook | None = None


class Market(msgspec.Struct, frozen=True, kw_only=True):
    ticker: str
    event_ticker: str
    status: str
    title: str = ""
    yes_sub_title: str | None = None
    no_sub_title: str | None = None
    market_type: str = "binary"
    result: str = ""
    exchange_index: int | None = None
    created_time: str | None = None
    open_time: str | None = None
    close_time: str | None = None
    expiration_time: str | None = None
    latest_expiration_time: str | None = None
    settlement_ts: str | None = None
    settlement_value_dollars: str | None = None
    price_level_structure: str | None = None
    mve_collection_ticker: str | None = None
    updated_time: str | None = None


class MarketQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a market's object says besides, of both wires. It changes with every order, and is no part of its row."""

    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None
    last_price_dollars: str | None = None
    volume_fp: str | None = None
    yes_bid: Cents | None = None
    yes_ask: Cents | None = None
    last_price: Cents | None = None
    volume: Contracts | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    event_ticker: str
    series_ticker: str
    title: str
    sub_title: str | None = None
    mutually_exclusive: bool | None = None
    exchange_index: int | None = None
    last_updated_ts: str | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    ticker: str
    title: str
    category: str | None = None
    frequency: str | None = None
    exchange_index: int | None = None
    last_updated_ts: str | None = None
