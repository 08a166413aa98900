"""An object of REST to what is kept of it: its row for the database, and what the registry needs."""

from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import Raw

from app.kalshi.rest_objects import MarketQuote
from app.metrics.registry import UNREADABLE_QUOTES
from app.normal.decimals import count_e2, price_e6
from app.normal.digest import digest64
from app.normal.metadata import market_row
from app.normal.unfit import UnfitMessageError, fitting
from app.registry.market import STATUSES, Market, Quote
from app.store.metadata_tables import MARKETS, NO_DETAILS
from app.store.tables import Row

NAMES = MARKETS.column_names
# In the order of Market's fields.
KNOWN_NAMES = (
    *("ticker", "event_ticker", "status", "market_type", "result", "exchange_index"),
    *("open_time", "close_time", "expiration_time", "updated_time", "title"),
)
_market_values = itemgetter(*map(NAMES.index, KNOWN_NAMES))
UPDATED_AT = NAMES.index("updated_at")
_encode = msgspec.msgpack.Encoder().encode


class _Named(msgspec.Struct):
    ticker: str = ""


_quote_decoder = msgspec.json.Decoder(MarketQuote)
_named_decoder = msgspec.json.Decoder(_Named)


class MarketReading(NamedTuple):
    market: Market
    quote: Quote | None  # None: it is not understood
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
    digest = digest64(_encode((row[:UPDATED_AT], row[UPDATED_AT + 1 :])))
    return MarketReading(market, _read_quote(content), digest, row)


def _read_quote(content: bytes | Raw) -> Quote | None:
    """Return None for one that is not understood. It is for being shown alone: its market is followed all the same."""
    try:
        said = fitting(_quote_decoder, content)
        return Quote(
            price_e6(said.yes_bid_dollars, said.yes_bid),
            price_e6(said.yes_ask_dollars, said.yes_ask),
            # REST writes 0 where nothing was traded yet.
            price_e6(said.last_price_dollars, said.last_price) or None,
            count_e2(said.volume_fp, said.volume),
        )
    except UnfitMessageError:
        UNREADABLE_QUOTES.inc()
        return None


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
        "details": NO_DETAILS,
        "updated_at": now_us,
        **dict(zip(KNOWN_NAMES, market, strict=False)),  # what follows in a market is its quote
    }
    return tuple(known.values())
