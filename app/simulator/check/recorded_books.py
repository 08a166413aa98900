from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.postgres.connection import Connection
from app.simulator.check.replay import Levels

SNAPSHOTS = 20_000

SNAPSHOT_SAMPLE = """
    SELECT
        ticker, extract(epoch FROM snapshot_ts) * 1000000, clock,
        yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE source = 'ws' AND clock >= 0 AND yes_prices_e6 IS NOT NULL
    ORDER BY hashtextextended(ticker || ' ' || clock, 0), snapshot_ts
    LIMIT %s
"""

BASE = """
    SELECT clock, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE ticker = %(ticker)s AND source = 'ws' AND clock BETWEEN 0 AND %(clock)s AND yes_prices_e6 IS NOT NULL
        AND snapshot_ts >= TIMESTAMPTZ 'epoch' + %(from_us)s * INTERVAL '1 microsecond'
        AND snapshot_ts < TIMESTAMPTZ 'epoch' + %(until_us)s * INTERVAL '1 microsecond'
    ORDER BY clock DESC, snapshot_ts DESC
    LIMIT 1
"""

CHANGES = """
    SELECT yes_side, price_e6, sum(delta_e2)::BIGINT
    FROM orderbook_deltas
    WHERE ticker = %(ticker)s AND clock > %(base)s AND clock <= %(clock)s
        AND exchange_ts >= TIMESTAMPTZ 'epoch' + %(from_us)s * INTERVAL '1 microsecond'
        AND exchange_ts < TIMESTAMPTZ 'epoch' + %(until_us)s * INTERVAL '1 microsecond'
    GROUP BY yes_side, price_e6
"""


class RecordedSnapshot(NamedTuple):
    ticker: str
    at_us: int
    clock: int
    sides: tuple[Levels, Levels]


class RebuiltBook(NamedTuple):
    base_clock: int
    sides: tuple[Levels, Levels]


def recorded_snapshots(connection: Connection) -> Iterator[RecordedSnapshot]:
    """Up to a number, from all over the table, the same ones every time."""
    with connection.cursor() as cursor:
        cursor.execute(SNAPSHOT_SAMPLE, (SNAPSHOTS,))
        for ticker, at_us, clock, *levels in cursor:
            yield RecordedSnapshot(ticker, int(at_us), clock, _sides(levels))


def rebuilt_book(connection: Connection, ticker: str, clock: int, from_us: int, until_us: int) -> RebuiltBook | None:
    """The last snapshot up to a clock and every change since; None without a snapshot. Clocks are those of the time."""
    where = {"ticker": ticker, "clock": clock, "from_us": from_us, "until_us": until_us}
    with connection.cursor() as cursor:
        cursor.execute(BASE, where)
        row = cursor.fetchone()
        if row is None:
            return None
        sides = _sides(row[1:])
        cursor.execute(CHANGES, where | {"base": row[0]})
        for yes_side, price_e6, delta_e2 in cursor:
            side = sides[0] if yes_side else sides[1]
            side[price_e6] = side.get(price_e6, 0) + delta_e2
            if not side[price_e6]:
                del side[price_e6]
    return RebuiltBook(row[0], sides)


def _sides(levels: Sequence[list[int]]) -> tuple[Levels, Levels]:
    yes_prices, yes_sizes, no_prices, no_sizes = levels
    return dict(zip(yes_prices, yes_sizes, strict=True)), dict(zip(no_prices, no_sizes, strict=True))
