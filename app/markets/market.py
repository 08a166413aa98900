"""A market, its changes, and what its status and its times mean.

All functions here are pure. The exchange announces neither openings nor closings, so they are derived from the clock.
"""

from typing import Literal, NamedTuple
from zlib import crc32

from app.kalshi.rest_objects import ExchangeStatus

STATUSES = ("initialized", "inactive", "active", "closed", "determined", "disputed", "amended", "finalized")
# not_open: the market's own status is not active; halted: it is active, but its shard of the exchange does not trade
# now; unknown: the exchange's status is not known yet.
TradingStatus = Literal["trading", "halted", "not_open", "unknown"]


class Quote(NamedTuple):
    """A market's latest best prices and volume. None: there is no price or volume, or it was not given."""

    yes_bid_e6: int | None = None
    yes_ask_e6: int | None = None
    last_price_e6: int | None = None
    volume_e2: int | None = None
    quoted_us: int | None = None  # when it was so; None: no quote was received yet


class Market(NamedTuple):
    """A market. Times are microseconds since 1970, prices millionths of a dollar, sizes hundredths of a contract.

    The fields from `title` on are filled in for users of the registry: its own parts pass markets on without them.
    """

    ticker: str
    event_ticker: str
    status: str
    market_type: str = "binary"
    result: str = ""
    exchange_index: int | None = None
    open_us: int | None = None
    close_us: int | None = None
    expiration_us: int | None = None
    updated_us: int | None = None
    title: str = ""
    trading_status: TradingStatus = "unknown"
    yes_bid_e6: int | None = None
    yes_ask_e6: int | None = None
    last_price_e6: int | None = None
    volume_e2: int | None = None
    quoted_us: int | None = None

    def with_quote(self, quote: Quote) -> "Market":
        return self._replace(**quote._asdict())


EventType = Literal["created", "status_change", "closing", "settled"]


class MarketChange(NamedTuple):
    """A change of a market.

    A market appeared, changed its status, is about to close, ended, or is now to be recorded or no longer to be
    recorded (with an unchanged status).
    """

    ticker: str
    event_type: EventType
    old_status: str | None  # None: the market was unknown
    new_status: str | None  # None: the exchange does not know it any more
    market: Market | None  # None if it settled
    is_to_be_recorded: bool

    @property
    def is_closing(self) -> bool:
        return self.event_type == "closing"


def change_between(
    old_status: str | None, after: Market, *, was_recorded: bool, is_recorded: bool
) -> MarketChange | None:
    """Return the change between two states, or None if it concerns no subscriber.

    A market that is already over when it first appears is of no concern either.
    """
    if old_status is None:
        return None if after.status == "finalized" else introduction(after, is_recorded=is_recorded)
    if old_status == after.status and was_recorded == is_recorded:
        return None
    if after.status == "finalized":
        return MarketChange(after.ticker, "settled", old_status, after.status, None, is_recorded)
    return MarketChange(after.ticker, "status_change", old_status, after.status, after, is_recorded)


def introduction(market: Market, *, is_recorded: bool) -> MarketChange:
    """Return the change that introduces a market to a subscriber."""
    return MarketChange(market.ticker, "created", None, market.status, market, is_recorded)


def departure(before: Market) -> MarketChange:
    return MarketChange(before.ticker, "settled", before.status, None, None, is_to_be_recorded=False)


def closing(market: Market) -> MarketChange:
    return MarketChange(market.ticker, "closing", market.status, market.status, market, is_to_be_recorded=True)


# The meaning of a market's times. The exchange announces neither its opening nor its closing.

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
# Thousands of markets close at the same second. This spreads the requests for their last books.
BEFORE_CLOSING_SECONDS = range(3, 33)
BEFORE_OPENING_US = 5 * MINUTE_US
AFTER_CLOSING_US = 10 * MINUTE_US
# REST answers come through a cache: they may show a state that is up to this old.
LAG_US = MINUTE_US


def is_to_be_recorded(market: Market, now_us: int) -> bool:
    """Return whether the market is to be recorded now.

    It is from shortly before its opening, so that a subscription is there in time, until no more changes can follow.
    """
    if market.status == "initialized":
        return market.open_us is not None and now_us >= market.open_us - BEFORE_OPENING_US
    if market.status == "closed":
        return market.close_us is None or now_us < market.close_us + AFTER_CLOSING_US
    return market.status in ("active", "inactive")


def apply_clock(market: Market, now_us: int, since_us: int = 0) -> Market:
    """Return the market after its opening and its closing, as far as they lie between `since_us` and now."""
    if market.status == "initialized" and _is_within(market.open_us, since_us, now_us):
        market = market._replace(status="active")
    if market.status in ("active", "inactive") and _is_within(market.close_us, since_us, now_us):
        market = market._replace(status="closed")
    return market


def is_about_to_close(market: Market, now_us: int) -> bool:
    """Return whether the market closes within a few seconds. How many depends on its ticker, to spread the load."""
    if market.status not in ("active", "inactive") or market.close_us is None:
        return False
    return _about_to_close_us(market, market.close_us) <= now_us < market.close_us


def next_moment_us(market: Market, after_us: int) -> int | None:
    """Return when the clock next changes its status, its recording, or that it is about to close; None: never."""
    return min((moment for moment in _moments_us(market) if moment > after_us), default=None)


def _moments_us(market: Market) -> tuple[int, ...]:
    if market.status == "initialized" and market.open_us is not None:
        return market.open_us - BEFORE_OPENING_US, market.open_us
    if market.status in ("active", "inactive") and market.close_us is not None:
        return _about_to_close_us(market, market.close_us), market.close_us
    if market.status == "closed" and market.close_us is not None:
        return (market.close_us + AFTER_CLOSING_US,)
    return ()


def _about_to_close_us(market: Market, close_us: int) -> int:
    seconds = BEFORE_CLOSING_SECONDS[crc32(market.ticker.encode()) % len(BEFORE_CLOSING_SECONDS)]
    return close_us - seconds * SECOND_US


def _is_within(moment_us: int | None, since_us: int, now_us: int) -> bool:
    return moment_us is not None and since_us < moment_us <= now_us


# The trading status. The exchange does not give it for single markets, but for each of its shards.

FIRST_SHARD = 0


def trading_status(market: Market, exchange: ExchangeStatus | None) -> TradingStatus:
    if market.status != "active":
        return "not_open"
    if exchange is None:
        return "unknown"
    shard = exchange.shard(FIRST_SHARD if market.exchange_index is None else market.exchange_index)
    return "trading" if shard.exchange_active and shard.trading_active else "halted"
