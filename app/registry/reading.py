"""An object of REST to what is kept of it: its row for the database, and what the registry needs."""

from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import Raw

from app.normal.digest import digest64
from app.normal.metadata import market_row
from app.normal.unfit import UnfitMessageError
from app.registry.market import STATUSES, Market
from app.store.metadata_tables import MARKETS, NO_DETAILS
from app.store.tables import Row

NAMES = MARKETS.column_names
# In the order of Market's fields.
KNOWN_NAMES = (
    *("ticker", "event_ticker", "status", "market_type", "result", "exchange_index"),
    *("open_time", "close_time", "expiration_time", "updated_time"),
)
_market_values = itemgetter(*map(NAMES.index, KNOWN_NAMES))
UPDATED_AT = NAMES.index("updated_at")
_encode = msgspec.msgpack.Encoder().encode


class _Named(msgspec.Struct):
    ticker: str = ""


_named_decoder = msgspec.json.Decoder(_Named)


class MarketReading(NamedTuple):
    market: Market
    digest: int  # of all that the row says, apart from when it was read
    row: Row


def read_market(content: bytes | Raw, now_us: int) -> MarketReading:
    row = market_row(content, now_us)
    market = Market(*_market_values(row))
    if market.status not in STATUSES:
        raise UnfitMessageError(f"{market.status[:50]!r} is no status of a market")
    if not market.ticker or not market.event_ticker:
        raise UnfitMessageError("a market needs a ticker and an event")
    if market.exchange_index is not None and not 0 <= market.exchange_index < 2**31:
        raise UnfitMessageError(f"{market.exchange_index} is no exchange index")
    return MarketReading(market, digest64(_encode((row[:UPDATED_AT], row[UPDATED_AT + 1 :]))), row)


def ticker_of(content: bytes | Raw) -> str:
    """Return the name of a market, whatever else its object says; nothing where it does not even say that."""
    try:
        return _named_decoder.decode(content).ticker
    except msgspec.DecodeError:
        return ""


def told_row(market: Market, now_us: int) -> Row:
    """Return the row of a market that REST does not show: what is known of it without REST, and no details."""
    known = {
        **dict.fromkeys(NAMES),
        "title": "",
        "details": NO_DETAILS,
        "updated_at": now_us,
        **dict(zip(KNOWN_NAMES, market, strict=True)),
    }
    return tuple(known.values())
