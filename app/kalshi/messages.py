"""The messages of the WebSocket: each frame is decoded once, straight into the struct of its type.

Today's wire carries decimal strings; the wire of before spring 2026 carried integer cents, contracts and seconds. The
structs accept both. A frame that fits none becomes `Unknown`, which is kept for quarantine.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

# Numbers and times as the exchange writes them, limited to what our columns can hold.

LOWEST_BIGINT, HIGHEST_BIGINT = -(2**63), 2**63 - 1
# The two centuries that the tables accept: milliseconds taken for seconds, or the reverse, lie outside.
FIRST_MS, END_MS = 946_684_800_000, 7_258_118_400_000

SubscriptionId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Sequence = Annotated[int, Meta(ge=0, le=HIGHEST_BIGINT)]
Clock = Annotated[int, Meta(ge=0, le=HIGHEST_BIGINT)]
BigInteger = Annotated[int, Meta(ge=LOWEST_BIGINT, le=HIGHEST_BIGINT)]
Milliseconds = Annotated[int, Meta(ge=FIRST_MS, lt=END_MS)]
# The older wire counts in whole cents of a dollar and in whole contracts.
Cents = Annotated[int, Meta(ge=0, le=100)]
Contracts = Annotated[int, Meta(ge=-(10**15), le=10**15)]


# gc=False: messages cannot form cycles, so the garbage collector need not track them.
class Envelope(msgspec.Struct, tag_field="type", frozen=True, kw_only=True, gc=False):
    sid: SubscriptionId | None = None
    seq: Sequence | None = None
    id: int | None = None  # the id of the command that this message answers
    sending_ts_ms: Milliseconds | None = None


# The recorded messages, on both wires: decimal strings today; integer cents, contracts and seconds before spring 2026.
# Fields that neither wire has are ignored.

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
    """The facts of a trade that the stream and REST have in common."""

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
    """An announcement about a market or an event. Its content differs by kind and is kept whole."""

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


# The exchange's answers to commands.


class SubscriptionEntry(msgspec.Struct, frozen=True):
    channel: str
    sid: SubscriptionId


class Subscribed(Envelope, tag="subscribed", frozen=True):
    msg: SubscriptionEntry


class Unsubscribed(Envelope, tag="unsubscribed", frozen=True):
    pass


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    market_tickers: list[str] | None = None


class Ok(Envelope, tag="ok", frozen=True):
    """An update was done, or (with `msg`) the list of subscriptions that a command asked for."""

    msg: MarketList | list[SubscriptionEntry] | None = None
    market_tickers: list[str] | None = None  # on the older wire


class SubscriptionList(Envelope, tag="list_subscriptions", frozen=True):
    """The older wire's list of subscriptions."""

    subscriptions: list[SubscriptionEntry]


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    msg: str = ""
    market_ticker: str | None = None
    market_tickers: list[str] | None = None


class Error(Envelope, tag="error", frozen=True):
    msg: ErrorBody


Answer = Subscribed | Unsubscribed | Ok | SubscriptionList | Error


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that fits no known message: kept for quarantine. Its seq counts in the sequence check like any other."""

    frame: bytes
    reason: str
    type: str | None = None
    sid: int | None = None
    seq: int | None = None

    def may_be_one_of(self, types: Collection[str]) -> bool:
        """Return whether the frame may have been of one of these types.

        The damage may have reached its type as well; and a numbered frame belongs to a subscription.
        """
        return self.type is None or self.type in types or self.seq is not None


Known = Data | LifecycleMessage | Answer
Message = Known | Unknown


class Head(msgspec.Struct, frozen=True, kw_only=True):
    type: str | None = None
    sid: SubscriptionId | None = None
    seq: Sequence | None = None


# Strikes and multipliers keep the digits they were written with: a float would round them.
_known_decoder: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known, float_hook=Decimal)
_decode_known = _known_decoder.decode
_decode_head = msgspec.json.Decoder(Head).decode


def decode(frame: bytes) -> Message:
    """Decode a frame. Never raise: a malformed frame must not end the connection, so it becomes `Unknown`."""
    try:
        return _decode_known(frame)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return unknown(frame, str(error))


def unknown(frame: bytes, reason: str) -> Unknown:
    try:
        head = _decode_head(frame)
    except (ValueError, ArithmeticError, RecursionError):
        head = Head()
    return Unknown(frame=frame, reason=reason, type=head.type, sid=head.sid, seq=head.seq)
