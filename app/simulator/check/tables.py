"""The tables of records that are compared, and the form in which changes and rows meet.

A key is the ticker, the milliseconds, and the fields; a row comes as milliseconds, nth, ticker and the same fields.
The older wire has no clock, no sizes in tickers, and only whole seconds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from app.simulator.changes import Delta, Ticker, Trade
from app.simulator.check.matcher import Key, Loose
from app.simulator.prices import DOLLAR_E6

NO_CLOCK = -1


class Table(NamedTuple):
    name: str
    change_type: type[Delta | Trade | Ticker]
    fields: Callable[[Any], Key]  # of a change
    normal: Callable[[Key, bool], Key]  # the fields of a change or a row, as both wires leave them
    timeless: Loose
    looks_alike: tuple[Loose, ...]

    def key(self, ticker: str, change: Delta | Trade | Ticker, *, cents: bool) -> Key:
        at_ms = change.at_us // 1_000_000 * 1_000 if cents else change.at_us // 1_000
        return (ticker, at_ms, *self.normal(self.fields(change), cents))

    def key_of_row(self, row: tuple[Any, ...], *, cents: bool) -> Key:
        return (row[2], row[0], *self.normal(row[3:], cents))


def _delta(fields: Key, cents: bool) -> Key:
    return (NO_CLOCK, *fields[1:]) if cents else fields


def _trade(fields: Key, cents: bool) -> Key:
    return (*fields[:-1], None) if cents else fields


def _ticker(fields: Key, cents: bool) -> Key:
    """No price, no bid and no ask are written in several ways; a size of nothing, too."""
    price_e6, bid_e6, ask_e6, bid_size_e2, ask_size_e2, last_size_e2, *figures = fields
    sizes = (None, None, None) if cents else (bid_size_e2 or None, ask_size_e2 or None, last_size_e2 or None)
    return (price_e6 or None, bid_e6 or None, ask_e6 if ask_e6 != DOLLAR_E6 else None, *sizes, *figures)


DELTAS = Table(
    name="orderbook_deltas",
    change_type=Delta,
    fields=lambda delta: delta[2:],
    normal=_delta,
    timeless=lambda key: (key[0], *key[2:]),
    looks_alike=(lambda key: (key[0], key[2], key[3]), lambda key: key[:2]),
)
TRADES = Table(
    name="trades",
    change_type=Trade,
    fields=lambda trade: trade[2:],
    normal=_trade,
    timeless=lambda key: (key[2],),
    looks_alike=(lambda key: (key[2],),),
)
TICKERS = Table(
    name="tickers",
    change_type=Ticker,
    fields=lambda ticker: ticker[2:],
    normal=_ticker,
    timeless=lambda key: (key[0], *key[2:]),
    looks_alike=(lambda key: key[:2],),
)
TABLES = (DELTAS, TRADES, TICKERS)
