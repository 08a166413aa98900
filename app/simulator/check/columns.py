"""What the check reads of the recorded tables, wherever they lie."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.simulator.check.replay import Levels
from app.simulator.check.tables import DELTAS, TICKERS, TRADES

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
    """The sides after changes of (yes_side, price_e6, delta_e2)."""
    for yes_side, price_e6, delta_e2 in changes:
        side = sides[0] if yes_side else sides[1]
        side[price_e6] = side.get(price_e6, 0) + delta_e2
        if not side[price_e6]:
            del side[price_e6]
    return sides
