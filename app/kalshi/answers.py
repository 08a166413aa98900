"""What the exchange answers to commands."""

import msgspec

from app.kalshi.envelope import Envelope
from app.kalshi.wire_types import SubscriptionId


class Subscription(msgspec.Struct, frozen=True):
    channel: str
    sid: SubscriptionId


class Subscribed(Envelope, tag="subscribed", frozen=True):
    msg: Subscription


class Unsubscribed(Envelope, tag="unsubscribed", frozen=True):
    pass


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    market_tickers: list[str] | None = None


class Ok(Envelope, tag="ok", frozen=True):
    """An update was done, or here is the list of subscriptions that was asked for."""

    msg: MarketList | list[Subscription] | None = None
    market_tickers: list[str] | None = None  # the older wire's


class SubscriptionList(Envelope, tag="list_subscriptions", frozen=True):
    """The older wire's list of subscriptions."""

    subscriptions: list[Subscription]


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    msg: str = ""
    market_ticker: str | None = None
    market_tickers: list[str] | None = None


class Error(Envelope, tag="error", frozen=True):
    msg: ErrorBody


Answer = Subscribed | Unsubscribed | Ok | SubscriptionList | Error
