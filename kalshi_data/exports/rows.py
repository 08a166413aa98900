"""Events as columns: book changes as they come in, and the rows of an export as they go out."""

from array import array
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import repeat
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.books import Sizes, level_of
from kalshi_data.order_book import BookChange
from kalshi_data.times import us_of

DOLLAR_E6 = 1_000_000
BYTES = 8  # of an integer in a column


class RowKind(IntEnum):
    """The kinds of rows.

    A reset is one CLEAR, a REMOVED for each level that the book had, and a SNAPSHOT for each that it has afterwards.
    """

    CLEAR = 0
    REMOVED = 1
    SNAPSHOT = 2
    CHANGE = 3
    TRADE = 4
    BLOCK_TRADE = 5


SCHEMA = pa.schema(
    [
        ("kind", pa.int64()),
        ("at_us", pa.int64()),  # by the exchange; never falls
        ("local_us", pa.int64()),  # when a listener that reads in this order had it; never falls, and is never earlier
        ("local_ns", pa.int64()),  # the same; rises from row to row
        ("clock", pa.int64()),  # of a change; -1: none
        ("is_bid", pa.bool_()),  # of a trade: whether the taker bought YES
        ("price_e6", pa.int64()),  # of YES
        ("size_e2", pa.int64()),  # of the level afterwards, or of the trade
        ("before_e2", pa.int64()),  # the level's size before
        ("trade_id", pa.string()),
    ]
)


class TradeRow(NamedTuple):
    received_us: int
    size_e2: int
    price_e6: int
    taker_yes: bool
    is_block_trade: bool
    trade_id: str


class Changes:
    """Book changes in order."""

    def __init__(self) -> None:
        self.at_us, self.received_us, self.clock, self.level, self.delta_e2 = (array("q") for _ in range(5))

    def add_table(self, table: pa.Table) -> None:
        ordered = table.sort_by([(name, "ascending") for name in ("exchange_ts", "clock", "received_at", "nth")])
        level = pc.add(pc.multiply(ordered["price_e6"].cast(pa.int64()), 2), ordered["yes_side"].cast(pa.int64()))
        values = (ordered["exchange_ts"], ordered["received_at"], ordered["clock"], level, ordered["delta_e2"])
        for column, found in zip(self._columns(), values, strict=True):
            for chunk in found.cast(pa.int64()).chunks:
                start, end = chunk.offset * BYTES, (chunk.offset + len(chunk)) * BYTES
                column.frombytes(memoryview(chunk.buffers()[1])[start:end])

    def add_rows(self, rows: Iterable[BookChange]) -> None:
        for row in sorted(rows, key=lambda row: (row.exchange_ts, row.clock, row.received_at)):
            level = level_of(row.yes_side, row.price_e6)
            values = us_of(row.exchange_ts), us_of(row.received_at), row.clock, level, row.delta_e2
            for column, value in zip(self._columns(), values, strict=True):
                column.append(value)

    def between(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield time, time of receipt, level and change of its size."""
        columns = self.at_us, self.received_us, self.level, self.delta_e2
        return zip(*(column[start:end] for column in columns), strict=True)

    def __len__(self) -> int:
        return len(self.at_us)

    def _columns(self) -> "tuple[array[int], ...]":
        return self.at_us, self.received_us, self.clock, self.level, self.delta_e2


class EventRows:
    """Rows of an export, in order. Times never fall: who listens gets one event after the other."""

    def __init__(self, start_us: int) -> None:
        self._at_us = self._local_us = start_us
        self._local_ns = 0
        self._reset()

    def __len__(self) -> int:
        return len(self._columns["kind"])

    def add_changes(self, changes: Changes, start: int, end: int, sizes: Sizes) -> None:
        """Add changes by their numbers, and apply them to the sizes of the levels."""
        at_us, local_us, local_ns = self._at_us, self._local_us, self._local_ns
        columns = self._columns
        add_at, add_local, add_ns = columns["at_us"].append, columns["local_us"].append, columns["local_ns"].append
        add_size, add_before = columns["size_e2"].append, columns["before_e2"].append
        # A loop over millions. What needs no memory of the row before is added at once below. Calls of max() would
        # double the time.
        for changed_us, received_us, level, delta_e2 in changes.between(start, end):
            at_us = at_us if at_us >= changed_us else changed_us
            local_us = local_us if local_us >= received_us else received_us
            local_us = local_us if local_us >= at_us else at_us
            local_ns = local_ns + 1 if local_ns >= local_us * 1000 else local_us * 1000
            before_e2 = sizes.get(level, 0)
            size_e2 = before_e2 + delta_e2
            if size_e2:
                sizes[level] = size_e2
            else:
                sizes.pop(level, None)
            add_at(at_us)
            add_local(local_us)
            add_ns(local_ns)
            add_size(size_e2 if size_e2 >= 0 else 0)
            add_before(before_e2 if before_e2 >= 0 else 0)
        self._at_us, self._local_us, self._local_ns = at_us, local_us, local_ns
        columns["kind"].extend(repeat(RowKind.CHANGE, end - start))
        columns["clock"].extend(changes.clock[start:end])
        columns["level"].extend(changes.level[start:end])

    def add_trade(self, at_us: int, trade: TradeRow) -> None:
        kind = RowKind.BLOCK_TRADE if trade.is_block_trade else RowKind.TRADE
        price_e6 = trade.price_e6 if trade.taker_yes else DOLLAR_E6 - trade.price_e6
        self._trade_ids[len(self)] = trade.trade_id
        self._add(kind, at_us, level_of(trade.taker_yes, price_e6), trade.size_e2, received_us=trade.received_us)

    def reset(self, at_us: int, before: Sizes, after: Sizes) -> None:
        """Clear the book, which had the first levels, and write the second ones. All of them have a size."""
        self._add(RowKind.CLEAR, at_us, 0, 0)
        for level, size_e2 in sorted(before.items()):
            self._add(RowKind.REMOVED, at_us, level, 0, before_e2=size_e2)
        for level, size_e2 in sorted(after.items()):
            self._add(RowKind.SNAPSHOT, at_us, level, size_e2)

    def take(self) -> pa.Table:
        """Return the rows, and begin anew."""
        columns = {name: _column(values) for name, values in self._columns.items()}
        level = columns.pop("level")
        columns["is_bid"] = pc.equal(pc.bit_wise_and(level, 1), 1)
        price_e6 = pc.shift_right(level, 1)
        columns["price_e6"] = pc.if_else(columns["is_bid"], price_e6, pc.subtract(DOLLAR_E6, price_e6))
        trade_ids: list[str | None] = [None] * len(self)
        for number, trade_id in self._trade_ids.items():
            trade_ids[number] = trade_id
        columns["trade_id"] = pa.array(trade_ids, pa.string())
        self._reset()
        return pa.table([columns[name] for name in SCHEMA.names], SCHEMA)

    def _add(
        self, kind: RowKind, at_us: int, level: int, size_e2: int, *, before_e2: int = 0, received_us: int = 0
    ) -> None:
        self._at_us = max(self._at_us, at_us)
        self._local_us = max(self._local_us, received_us, self._at_us)
        self._local_ns = max(self._local_ns + 1, self._local_us * 1000)
        values = (kind, self._at_us, self._local_us, self._local_ns, -1, level, size_e2, before_e2)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)

    def _reset(self) -> None:
        names = ("kind", "at_us", "local_us", "local_ns", "clock", "level", "size_e2", "before_e2")
        self._columns = {name: array("q") for name in names}
        self._trade_ids: dict[int, str] = {}


def _column(values: "array[int]") -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
