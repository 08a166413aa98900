"""The objects that REST answers with, as far as they become columns; their other members are kept as details."""

from datetime import datetime
from typing import Annotated

import msgspec

from app.kalshi.messages import Cents, Contracts, DollarLevels, TradeFacts
from app.kalshi.request_budget import TOKENS_PER_CALL, BudgetLimits


class RestTrade(TradeFacts, frozen=True):
    ticker: str
    created_time: str


class RestBook(msgspec.Struct, frozen=True, kw_only=True):
    yes_dollars: DollarLevels | None = None
    no_dollars: DollarLevels | None = None


class OlderRestBook(msgspec.Struct, frozen=True, kw_only=True):
    """A book in cents and whole contracts, sometimes with dollars beside them."""

    yes_dollars: list[tuple[str, Contracts]] | None = None
    no_dollars: list[tuple[str, Contracts]] | None = None
    yes: list[tuple[Cents, Contracts]] | None = None
    no: list[tuple[Cents, Contracts]] | None = None


class BookOfMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One element of the answer of /markets/orderbooks."""

    ticker: str
    orderbook_fp: RestBook | None = None
    orderbook: OlderRestBook | None = None


class RestMarket(msgspec.Struct, frozen=True, kw_only=True):
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
    """The quote in a market's object, on both wires. It changes with every order and is no part of the market's row."""

    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None
    last_price_dollars: str | None = None
    volume_fp: str | None = None
    yes_bid: Cents | None = None
    yes_ask: Cents | None = None
    last_price: Cents | None = None
    volume: Contracts | None = None


class RestEvent(msgspec.Struct, frozen=True, kw_only=True):
    event_ticker: str
    series_ticker: str
    title: str
    sub_title: str | None = None
    mutually_exclusive: bool | None = None
    exchange_index: int | None = None
    last_updated_ts: str | None = None


class RestSeries(msgspec.Struct, frozen=True, kw_only=True):
    ticker: str
    title: str
    category: str | None = None
    frequency: str | None = None
    exchange_index: int | None = None
    last_updated_ts: str | None = None


class ShardStatus(msgspec.Struct, frozen=True):
    exchange_index: int
    exchange_active: bool
    trading_active: bool
    description: str = ""


class ExchangeStatus(msgspec.Struct, frozen=True):
    """The exchange's status. Its own two flags describe shard 0; the other shards may or may not be listed."""

    exchange_active: bool
    trading_active: bool
    exchange_estimated_resume_time: str | None = None
    exchange_index_statuses: list[ShardStatus] | None = None

    @property
    def any_active(self) -> bool:
        """Return whether there is anything to record: with trading halted, there still is."""
        return any(shard.exchange_active for shard in self.shards())

    @property
    def any_trading(self) -> bool:
        return any(shard.trading_active for shard in self.shards())

    def shard(self, exchange_index: int) -> ShardStatus:
        """Return the status of a shard; for an unlisted one, the exchange's own flags, the best approximation."""
        listed = {shard.exchange_index: shard for shard in self.shards()}
        return listed.get(exchange_index) or ShardStatus(exchange_index, self.exchange_active, self.trading_active)

    def resume_seconds(self, now: datetime) -> float:
        """Return the seconds until the exchange expects to be back; 0 if it gives no time or a past one."""
        try:
            resume = msgspec.convert(self.exchange_estimated_resume_time, datetime)
        except msgspec.ValidationError:
            return 0
        # A time without a zone is UTC, like every other time of the exchange.
        return max((resume.replace(tzinfo=resume.tzinfo or now.tzinfo) - now).total_seconds(), 0)

    def shards(self) -> list[ShardStatus]:
        return self.exchange_index_statuses or [ShardStatus(0, self.exchange_active, self.trading_active)]


def status_in(body: bytes) -> ExchangeStatus | None:
    """Return the status in a body, or None if the body is not one. A status also arrives with HTTP 500, 503 and 504."""
    try:
        return msgspec.json.decode(body, type=ExchangeStatus)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class BucketLimit(msgspec.Struct, frozen=True):
    refill_rate: Annotated[int, msgspec.Meta(ge=1)]
    bucket_capacity: Annotated[int, msgspec.Meta(ge=TOKENS_PER_CALL)]

    @property
    def limits(self) -> BudgetLimits:
        return BudgetLimits(self.refill_rate, self.bucket_capacity)


class AccountLimits(msgspec.Struct, frozen=True):
    read: BucketLimit
    usage_tier: str = ""


class HistoricalCutoff(msgspec.Struct, frozen=True):
    """The time before which data is in the exchange's archive and absent from the usual endpoints."""

    trades_created_ts: datetime
