"""The changes of the simulated exchange, in order.

All values are integers: _e6 millionths of a dollar, _e2 hundredths of a contract, _us microseconds since 1970.
`market` is the market's number in the catalog.
"""

from typing import Any, NamedTuple


class SimDelta(NamedTuple):
    at_us: int
    market: int
    clock: int
    yes_side: bool
    price_e6: int
    delta_e2: int


class SimTrade(NamedTuple):
    at_us: int
    market: int
    trade_id: str
    yes_price_e6: int
    size_e2: int
    taker_yes: bool
    is_block_trade: bool


class SimTicker(NamedTuple):
    at_us: int
    market: int
    price_e6: int | None
    yes_bid_e6: int
    yes_ask_e6: int
    yes_bid_size_e2: int
    yes_ask_size_e2: int
    last_trade_size_e2: int
    volume_e2: int
    open_interest_e2: int
    dollar_volume: int
    dollar_open_interest: int


class SimLifecycle(NamedTuple):
    at_us: int
    ticker: str
    message_type: str  # market_lifecycle_v2, multivariate_market_lifecycle, event_lifecycle, event_fee_update
    event_type: str  # "" for the event messages
    payload: dict[str, Any]


Change = SimDelta | SimTrade | SimTicker | SimLifecycle


class SimBook(NamedTuple):
    """The bids of both sides, ascending by price; NO bids at NO prices. Includes every change up to `clock`."""

    clock: int
    yes: list[tuple[int, int]]
    no: list[tuple[int, int]]
