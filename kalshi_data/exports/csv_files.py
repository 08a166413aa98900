"""Exports as CSV: Tardis' files incremental_book_L2, trades and quotes, and a plain file of everything in order."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.exports.files import EXCHANGE, CsvFile, of_kinds
from kalshi_data.exports.rows import RowKind
from kalshi_data.files import LakeFiles
from kalshi_data.layout import HOUR, TICKERS
from kalshi_data.records import in_units

BOOK_COLUMNS = ["exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"]
TRADES_COLUMNS = ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"]
QUOTE_COLUMNS = [
    "exchange",
    "symbol",
    "timestamp",
    "local_timestamp",
    "ask_amount",
    "ask_price",
    "bid_price",
    "bid_amount",
]
LAKE_COLUMNS = ["yes_ask_size_e2", "yes_ask_e6", "yes_bid_e6", "yes_bid_size_e2"]
PLAIN_COLUMNS = ["time", "local_time", "event", "side", "price", "size", "clock", "trade_id"]
EVENT_NAMES = {
    RowKind.CLEAR: "reset",
    RowKind.SNAPSHOT: "level",
    RowKind.CHANGE: "change",
    RowKind.TRADE: "trade",
    RowKind.BLOCK_TRADE: "block_trade",
}


class TardisDay:
    """The three files of a market and day, where Tardis' server has them.

    A hole empties the book by rows of amount 0, and a snapshot follows its end. The format has no other way to say that
    a book is unknown, and some of its readers take a snapshot without rows for none.
    """

    def __init__(self, folder: Path, ticker: str, day: datetime, files: LakeFiles) -> None:
        self._ticker = ticker
        self._files = files
        self._is_begun = False
        self._quoted_us = 0
        self._book, self._trades, self._quotes = (
            CsvFile(folder / EXCHANGE / name / f"{day:%Y/%m/%d}" / f"{ticker}.csv.gz", columns)
            for name, columns in (
                ("incremental_book_L2", BOOK_COLUMNS),
                ("trades", TRADES_COLUMNS),
                ("quotes", QUOTE_COLUMNS),
            )
        )

    def write(self, hour: datetime, events: pa.Table) -> None:
        self._write_book(of_kinds(events, RowKind.REMOVED, RowKind.SNAPSHOT, RowKind.CHANGE))
        trades = of_kinds(events, RowKind.TRADE)
        self._trades.write(self._named(trades, trades["trade_id"], _side(trades, "buy", "sell")))
        self._write_quotes(hour)

    def finish(self) -> None:
        for file in (self._book, self._trades, self._quotes):
            file.finish()

    def _write_book(self, rows: pa.Table) -> None:
        if not self._is_begun:
            # What the book had before the file begins is of no interest in it.
            first = pc.index(rows["kind"], int(RowKind.SNAPSHOT)).as_py()
            rows = rows.slice(first if first >= 0 else 0)
            self._is_begun = first >= 0
        is_snapshot = pc.equal(rows["kind"], int(RowKind.SNAPSHOT))
        self._book.write(self._named(rows, is_snapshot, _side(rows, "bid", "ask")))

    def _write_quotes(self, hour: datetime) -> None:
        stamp, wanted = pc.field("exchange_ts"), pc.field("ticker") == self._ticker
        wanted &= (stamp >= hour) & (stamp < hour + HOUR)
        rows = self._files.rows(TICKERS, (hour, hour + HOUR), ["exchange_ts", "received_at", *LAKE_COLUMNS], wanted)
        rows = rows.sort_by("exchange_ts").combine_chunks()
        if not rows.num_rows:
            return
        at_us, received_us = (rows[name].cast(pa.int64()) for name in ("exchange_ts", "received_at"))
        local_us = pc.max_element_wise(at_us, received_us, self._quoted_us)
        local_us = pc.cumulative_max(local_us)
        self._quoted_us = local_us[-1].as_py()
        numbers = in_units(rows.select(LAKE_COLUMNS)).columns
        self._quotes.write(self._table(QUOTE_COLUMNS, at_us, local_us, *numbers))

    def _named(self, rows: pa.Table, *columns: pa.ChunkedArray) -> pa.Table:
        numbers = in_units(rows.select(["price_e6", "size_e2"])).columns
        names = TRADES_COLUMNS
        return self._table(names, rows["at_us"], rows["local_us"], *columns, *numbers)

    def _table(self, names: list[str], *columns: pa.ChunkedArray) -> pa.Table:
        fixed = [pa.repeat(value, len(columns[0])) for value in (EXCHANGE, self._ticker)]
        return pa.table([*fixed, *columns], names)


class PlainDay:
    """One file of a market and day: resets, levels of whole books, changes and trades in order."""

    def __init__(self, folder: Path, ticker: str, day: datetime) -> None:
        self._file = CsvFile(folder / ticker / f"{day:%Y-%m-%d}.csv", PLAIN_COLUMNS)

    def write(self, _hour: datetime, events: pa.Table) -> None:
        rows = of_kinds(events, *EVENT_NAMES)
        number = pc.index_in(rows["kind"], pa.array([int(kind) for kind in EVENT_NAMES], pa.int64()))
        names = pa.array(list(EVENT_NAMES.values())).take(number.combine_chunks())
        is_trade = pc.is_in(rows["kind"], pa.array([int(RowKind.TRADE), int(RowKind.BLOCK_TRADE)], pa.int64()))
        side = pc.if_else(is_trade, _side(rows, "buy", "sell"), _side(rows, "bid", "ask"))
        price, size = in_units(rows.select(["price_e6", "size_e2"])).columns
        is_reset = pc.equal(rows["kind"], int(RowKind.CLEAR))
        clock = pc.if_else(pc.less(rows["clock"], 0), None, rows["clock"])
        times = [rows[name].cast(pa.timestamp("us", "UTC")) for name in ("at_us", "local_us")]
        side, price, size = (pc.if_else(is_reset, None, column) for column in (side, price, size))
        self._file.write(pa.table([*times, names, side, price, size, clock, rows["trade_id"]], PLAIN_COLUMNS))

    def finish(self) -> None:
        self._file.finish()


def _side(rows: pa.Table, bid: str, ask: str) -> pa.ChunkedArray:
    return pc.if_else(rows["is_bid"], bid, ask)
