from typing import Literal, NamedTuple

STATUSES = ("initialized", "inactive", "active", "closed", "determined", "disputed", "amended", "finalized")
# not_open: its own status is not active; halted: it is, but its shard of the exchange does not trade now; unknown: the
# exchange has not told its status yet.
TradingStatus = Literal["trading", "halted", "not_open", "unknown"]


class Quote(NamedTuple):
    """A market's best prices and volume as they were announced last. None: there is none, or it was not said."""

    yes_bid_e6: int | None = None
    yes_ask_e6: int | None = None
    last_price_e6: int | None = None
    volume_e2: int | None = None
    quoted_us: int | None = None  # when it was so; None: nothing was heard or shown yet


class Market(NamedTuple):
    """A market. Times are microseconds since 1970, prices millionths of a dollar, sizes hundredths of a contract.

    The fields from `title` on are filled in for whoever asks the registry: its own parts pass markets on without them.
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
