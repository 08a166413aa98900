"""What is recorded of a WebSocket, as both wires say it: today's decimal strings, and the integer cents, contracts and
seconds of before spring 2026. Fields that are in neither are ignored."""

from typing import Any, Literal

import msgspec

from app.kalshi.envelope import Envelope
from app.kalshi.wire_types import BigInteger, Cents, Clock, Contracts, Milliseconds, Sequence, SubscriptionId

Side = Literal["yes", "no"]
DollarLevels = list[tuple[str, str]]
NO_CLOCK = -1


class DeltaBody(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    market_ticker: str
    side: Side
    price_dollars: str | None = None
    delta_fp: str | None = None
    price: Cents | None = None
    delta: Contracts | None = None
    clock: Clock = NO_CLOCK
    ts_ms: Milliseconds | None = None
    ts: int | str | None = None


class OrderbookDelta(Envelope, tag="orderbook_delta", frozen=True):
    sid: SubscriptionId
    seq: Sequence
    msg: DeltaBody


class SnapshotBody(msgspec.Struct, frozen=True, kw_only=True):
    market_ticker: str
    clock: Clock = NO_CLOCK
    yes_dollars_fp: DollarLevels | None = None
    no_dollars_fp: DollarLevels | None = None
    yes_dollars: list[tuple[str, Contracts]] | None = None
    no_dollars: list[tuple[str, Contracts]] | None = None
    yes: list[tuple[Cents, Contracts]] | None = None
    no: list[tuple[Cents, Contracts]] | None = None


class OrderbookSnapshot(Envelope, tag="orderbook_snapshot", frozen=True):
    sid: SubscriptionId
    seq: Sequence
    msg: SnapshotBody


class TradeFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the stream and REST say of a trade alike."""

    trade_id: str
    yes_price_dollars: str | None = None
    no_price_dollars: str | None = None
    count_fp: str | None = None
    yes_price: Cents | None = None
    no_price: Cents | None = None
    count: Contracts | None = None
    taker_outcome_side: Side | None = None
    taker_side: Side | None = None
    is_block_trade: bool | None = None


class TradeBody(TradeFacts, frozen=True):
    market_ticker: str
    ts_ms: Milliseconds | None = None
    ts: int | str | None = None


class Trade(Envelope, tag="trade", frozen=True):
    sid: SubscriptionId
    msg: TradeBody


class TickerBody(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    market_ticker: str
    price_dollars: str | None = None
    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None
    yes_bid_size_fp: str | None = None
    yes_ask_size_fp: str | None = None
    last_trade_size_fp: str | None = None
    volume_fp: str | None = None
    open_interest_fp: str | None = None
    price: Cents | None = None
    yes_bid: Cents | None = None
    yes_ask: Cents | None = None
    volume: Contracts | None = None
    open_interest: Contracts | None = None
    dollar_volume: BigInteger | None = None
    dollar_open_interest: BigInteger | None = None
    ts_ms: Milliseconds | None = None
    ts: int | str | None = None


class Ticker(Envelope, tag="ticker", frozen=True):
    sid: SubscriptionId
    msg: TickerBody


class Lifecycle(Envelope, frozen=True):
    """Something happened to a market or an event. What is told differs by kind, and is kept whole."""

    sid: SubscriptionId
    msg: dict[str, Any]


class MarketLifecycle(Lifecycle, tag="market_lifecycle_v2", frozen=True):
    pass


class ComboLifecycle(Lifecycle, tag="multivariate_market_lifecycle", frozen=True):
    pass


class OlderMarketLifecycle(Lifecycle, tag="market_lifecycle", frozen=True):
    pass


class EventLifecycle(Lifecycle, tag="event_lifecycle", frozen=True):
    pass


class EventFeeUpdate(Lifecycle, tag="event_fee_update", frozen=True):
    pass


Data = OrderbookDelta | OrderbookSnapshot | Trade | Ticker
LIFECYCLE_MESSAGES = (MarketLifecycle, ComboLifecycle, OlderMarketLifecycle, EventLifecycle, EventFeeUpdate)
LifecycleMessage = MarketLifecycle | ComboLifecycle | OlderMarketLifecycle | EventLifecycle | EventFeeUpdate
