"""The tables that are compared, and the form in which changes and rows meet.

A key is the ticker, the milliseconds, and the fields; a row arrives as milliseconds, nth, ticker and the same fields.
The older wire has no clock, no sizes in tickers, and only whole seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from app.simulator.check.matcher import Key, Loose
from app.simulator.check.replay import Levels
from app.simulator.market.changes import SimDelta, SimTicker, SimTrade
from app.simulator.market.prices import DOLLAR_E6

NO_CLOCK = -1


class SimTable(NamedTuple):
    """One table: how a change and a row become comparable keys."""

    name: str
    change_type: type[SimDelta | SimTrade | SimTicker]
    fields: Callable[[Any], Key]  # of a change
    normal: Callable[[Key, bool], Key]  # the fields of a change or a row, as far as the wire preserves them
    timeless: Loose
    looks_alike: tuple[Loose, ...]

    def key(self, ticker: str, change: SimDelta | SimTrade | SimTicker, *, cents: bool) -> Key:
        at_ms = change.at_us // 1_000_000 * 1_000 if cents else change.at_us // 1_000
        return (ticker, at_ms, *self.normal(self.fields(change), cents))

    def key_of_row(self, row: tuple[Any, ...], *, cents: bool) -> Key:
        return (row[2], row[0], *self.normal(row[3:], cents))


def _delta(fields: Key, cents: bool) -> Key:
    return (NO_CLOCK, *fields[1:]) if cents else fields


def _trade(fields: Key, cents: bool) -> Key:
    return (*fields[:-1], None) if cents else fields


def _ticker(fields: Key, cents: bool) -> Key:
    """Return the fields in one notation: a missing price, bid, ask or size is written in several ways."""
    price_e6, bid_e6, ask_e6, bid_size_e2, ask_size_e2, last_size_e2, *figures = fields
    sizes = (None, None, None) if cents else (bid_size_e2 or None, ask_size_e2 or None, last_size_e2 or None)
    return (price_e6 or None, bid_e6 or None, ask_e6 if ask_e6 != DOLLAR_E6 else None, *sizes, *figures)


DELTAS = SimTable(
    name="orderbook_deltas",
    change_type=SimDelta,
    fields=lambda delta: delta[2:],
    normal=_delta,
    timeless=lambda key: (key[0], *key[2:]),
    looks_alike=(lambda key: (key[0], key[2], key[3]), lambda key: key[:2]),
)
TRADES = SimTable(
    name="trades",
    change_type=SimTrade,
    fields=lambda trade: trade[2:],
    normal=_trade,
    timeless=lambda key: (key[2],),
    looks_alike=(lambda key: (key[2],),),
)
TICKERS = SimTable(
    name="tickers",
    change_type=SimTicker,
    fields=lambda ticker: ticker[2:],
    normal=_ticker,
    timeless=lambda key: (key[0], *key[2:]),
    looks_alike=(lambda key: key[:2],),
)
TABLES = (DELTAS, TRADES, TICKERS)


# The rows that the check reads, wherever they are stored.

ROWS_AT_ONCE = 20_000
SNAPSHOTS = 20_000

Sides = tuple[Levels, Levels]


class Columns(NamedTuple):
    fields: str
    nth: str = "nth"
    ts_missing: str = "ts_missing"


COLUMNS = {
    DELTAS: Columns("clock, yes_side, price_e6, delta_e2"),
    TRADES: Columns("trade_id, yes_price_e6, size_e2, taker_yes, is_block_trade", nth="0::INTEGER", ts_missing="FALSE"),
    TICKERS: Columns(
        "price_e6, yes_bid_e6, yes_ask_e6, yes_bid_size_e2, yes_ask_size_e2, last_trade_size_e2, volume_e2, "
        "open_interest_e2, dollar_volume, dollar_open_interest"
    ),
}


def book_sides(levels: Sequence[list[int]]) -> Sides:
    yes_prices, yes_sizes, no_prices, no_sizes = levels
    return dict(zip(yes_prices, yes_sizes, strict=True)), dict(zip(no_prices, no_sizes, strict=True))


def with_changes(sides: Sides, changes: Iterable[tuple[bool, int, int]]) -> Sides:
    """Return the sides after changes of (yes_side, price_e6, delta_e2)."""
    for yes_side, price_e6, delta_e2 in changes:
        side = sides[0] if yes_side else sides[1]
        side[price_e6] = side.get(price_e6, 0) + delta_e2
        if not side[price_e6]:
            del side[price_e6]
    return sides


# Milliseconds, nth, ticker, and the table's fields
Row = tuple[Any, ...]


class RecordedSnapshot(NamedTuple):
    """A whole book as recorded."""

    ticker: str
    at_us: int
    clock: int
    sides: tuple[Levels, Levels]


class RebuiltBook(NamedTuple):
    """A book rebuilt from a recorded snapshot, whose clock is `base_clock`."""

    base_clock: int
    sides: tuple[Levels, Levels]


class RowSource(Protocol):
    """A recording as the check reads it."""

    def rows(self, table: SimTable) -> Iterator[Row]:
        """Return the rows that carry their own time, in its order."""

    def untimed_rows(self, table: SimTable) -> Iterator[Row]:
        """Return the rows whose frame carried no time."""

    def lifecycle(self) -> Iterator[Row]:
        """Return ticker, event type and payload, in order of time."""

    def snapshots(self) -> Iterator[RecordedSnapshot]:
        """Return whole books that carry a clock; of very many, a deterministic sample."""

    def rebuilt_book(self, ticker: str, clock: int, from_us: int, until_us: int) -> RebuiltBook | None:
        """Return the last snapshot up to a clock with every change since; None without a snapshot.

        Clocks count within the given time, since they may restart.
        """
