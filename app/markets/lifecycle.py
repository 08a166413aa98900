"""The effect of lifecycle messages on markets.

The stream is believed until REST answers, so that recording starts and ends in time. What a message means beyond a
status or a time is not interpreted: REST is asked for the market.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.kalshi.messages import END_MS, ComboLifecycle, Lifecycle
from app.markets.market import STATUSES, Market
from app.markets.store import SECOND_US

Seconds = Annotated[int, Meta(ge=0, lt=END_MS // 1_000)]
# The status an announcement leads to, and the statuses it may start from. A late copy changes nothing: a market that
# has moved on keeps its status. If the exchange did move one back, REST shows it.
NEXT_STATUS = {
    "activated": ("active", {"inactive", "closed"}),
    "deactivated": ("inactive", {"active"}),
    "determined": ("determined", {"initialized", "inactive", "active", "closed"}),
    "settled": ("finalized", set(STATUSES)),
}


class Metadata(msgspec.Struct, frozen=True):
    event_ticker: str = ""
    title: str = ""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """The members of today's messages about markets and events, and of the older status_change."""

    market_ticker: str = ""
    event_ticker: str = ""
    event_type: str = ""
    exchange_index: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    open_ts: Seconds | None = None
    close_ts: Seconds | None = None
    result: str | None = None
    determination_ts: Seconds | None = None
    settled_ts: Seconds | None = None
    new_status: str | None = None
    additional_metadata: Metadata = Metadata()
    is_combo: bool = False


class Tickers(msgspec.Struct, frozen=True):
    market_ticker: str = ""
    event_ticker: str = ""


def announcement_of(message: Lifecycle) -> Announcement | None:
    """Return the announcement, or None if the tickers in it cannot be read."""
    is_combo = isinstance(message, ComboLifecycle)
    body = {**message.msg, "is_combo": is_combo}
    try:
        return msgspec.convert(body, Announcement)
    except msgspec.ValidationError:
        # Some member is malformed. REST will show what became of the market.
        return _bare_announcement(body)


def _bare_announcement(body: dict[str, object]) -> Announcement | None:
    try:
        named = msgspec.convert(body, Tickers)
    except msgspec.ValidationError:
        return None
    return Announcement(market_ticker=named.market_ticker, event_ticker=named.event_ticker)


def as_created(told: Announcement) -> Market | None:
    """Return the new market as far as it was announced, enough to be ready for its opening.

    Return None if this is no announcement of a new market, or lacks its event or its opening.
    """
    event_ticker = told.additional_metadata.event_ticker
    if told.event_type != "created" or not told.market_ticker or not event_ticker or told.open_ts is None:
        return None
    return Market(
        told.market_ticker,
        event_ticker,
        "initialized",
        exchange_index=told.exchange_index,
        open_us=told.open_ts * SECOND_US,
        close_us=None if told.close_ts is None else told.close_ts * SECOND_US,
        title=told.additional_metadata.title,
    )


def as_told(market: Market, told: Announcement, now_us: int) -> Market:
    """Return the market after the announcement. Only statuses and times are applied; REST is asked for the rest."""
    if told.event_type == "close_date_updated" and told.close_ts is not None:
        return market._replace(close_us=told.close_ts * SECOND_US)
    status, origins = NEXT_STATUS.get(told.event_type) or _older_next_status(told)
    if market.status not in origins:
        return market
    if status not in ("determined", "finalized"):
        return market._replace(status=status)
    return _closed(market._replace(status=status, result=told.result or market.result), _decided_us(told, now_us))


def as_vanished(market: Market, now_us: int) -> Market:
    """Return the market as it is stored once REST no longer knows it: it is closed, unless its outcome was decided."""
    status = market.status if market.status in ("determined", "disputed", "amended", "finalized") else "closed"
    return _closed(market._replace(status=status), now_us)


def _closed(market: Market, at_us: int) -> Market:
    """Return the market with this closing time at the latest.

    A market that ends early would otherwise keep its old closing time until REST shows the real one, or indefinitely.
    """
    return market._replace(close_us=at_us if market.close_us is None else min(market.close_us, at_us))


def _decided_us(told: Announcement, now_us: int) -> int:
    seconds = told.determination_ts if told.determination_ts is not None else told.settled_ts
    return now_us if seconds is None else min(seconds * SECOND_US, now_us)


def _older_next_status(told: Announcement) -> tuple[str, set[str]]:
    if told.event_type == "status_change" and told.new_status in STATUSES:
        return told.new_status, set(STATUSES) - {"finalized"}
    return "", set()
