"""Define what each connection subscribes to, and what the exchange's error codes mean to a recorder."""

from typing import NamedTuple

from app.kalshi.messages import OrderbookDelta, Ticker, Trade
from app.storage.tables import LIFECYCLE_CONNECTIONS, TICKER_CONNECTIONS, TRADE_CONNECTIONS

BOOK_CHANNEL = "orderbook_delta"
# The exchange of the first documents has earlier names for these channels, and lacks others.
EARLIER_NAMES = {"market_lifecycle_v2": ("market_lifecycle",)}
NEWER_CHANNELS = frozenset({"multivariate_market_lifecycle"})


class SocketRole(NamedTuple):
    """The channels of a connection and the messages that they carry."""

    name: str
    channels: tuple[str, ...]
    record: type | None  # the type of nearly all its messages
    message_types: frozenset[str]  # the exchange's names of its records

    @property
    def is_of_books(self) -> bool:
        return BOOK_CHANNEL in self.channels


TICKER = SocketRole("ticker", ("ticker",), Ticker, frozenset({"ticker"}))
TRADE = SocketRole("trade", ("trade",), Trade, frozenset({"trade"}))
LIFECYCLE = SocketRole(
    "lifecycle",
    ("market_lifecycle_v2", "multivariate_market_lifecycle"),
    None,
    frozenset(
        {
            "market_lifecycle_v2",
            "multivariate_market_lifecycle",
            "market_lifecycle",
            "event_lifecycle",
            "event_fee_update",
        }
    ),
)
BOOK = SocketRole("book", (BOOK_CHANNEL,), OrderbookDelta, frozenset({"orderbook_snapshot", "orderbook_delta"}))


def role_of(conn: int) -> SocketRole:
    if conn in TICKER_CONNECTIONS:
        return TICKER
    if conn in TRADE_CONNECTIONS:
        return TRADE
    return LIFECYCLE if conn in LIFECYCLE_CONNECTIONS else BOOK


# Error codes of the exchange.

ALREADY_SUBSCRIBED = 6  # from the older wire only
UNKNOWN_SID = 7
UNKNOWN_CHANNEL = 8
AUTHENTICATION_REQUIRED = 9
CHANNEL_ERROR = 10
COMMAND_TIMEOUT = 18
BUFFER_OVERFLOW = 25
MARKET_LIMIT = 26
COMMAND_LIMIT = 27

# The subscription is over, and what the exchange had not sent yet is lost.
CAUSES = {CHANNEL_ERROR: "channel_error", BUFFER_OVERFLOW: "overflow"}
LATER = frozenset({COMMAND_TIMEOUT, COMMAND_LIMIT})
