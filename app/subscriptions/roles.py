from typing import NamedTuple

from app.kalshi.records import OrderbookDelta, Ticker, Trade
from app.recording import LIFECYCLE_CONNECTIONS, TICKER_CONNECTIONS, TRADE_CONNECTIONS

BOOK_CHANNEL = "orderbook_delta"
# The exchange of the first documents has these channels by other names, and others not at all.
EARLIER_NAMES = {"market_lifecycle_v2": ("market_lifecycle",)}
NEWER_CHANNELS = frozenset({"multivariate_market_lifecycle"})


class Role(NamedTuple):
    """What a connection listens to."""

    name: str
    channels: tuple[str, ...]
    record: type | None  # what nearly all of its messages are
    message_types: frozenset[str]  # of its records, as the exchange names them

    @property
    def is_of_books(self) -> bool:
        return BOOK_CHANNEL in self.channels


TICKER = Role("ticker", ("ticker",), Ticker, frozenset({"ticker"}))
TRADE = Role("trade", ("trade",), Trade, frozenset({"trade"}))
LIFECYCLE = Role(
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
BOOK = Role("book", (BOOK_CHANNEL,), OrderbookDelta, frozenset({"orderbook_snapshot", "orderbook_delta"}))


def role_of(conn: int) -> Role:
    if conn in TICKER_CONNECTIONS:
        return TICKER
    if conn in TRADE_CONNECTIONS:
        return TRADE
    return LIFECYCLE if conn in LIFECYCLE_CONNECTIONS else BOOK
