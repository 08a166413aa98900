"""The calls that a lake and a connection to an admin service have in common, whatever their records are read from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa

from kalshi_data.books import DOLLAR_E6, Book, MarketRecord
from kalshi_data.coverage import BOOKS, TICKERS, TRADES, Coverage
from kalshi_data.errors import LakeError
from kalshi_data.layout import DELTAS
from kalshi_data.layout import TICKERS as TICKERS_TABLE
from kalshi_data.layout import TRADES as TRADES_TABLE
from kalshi_data.records import Records
from kalshi_data.replay import Steps, replay
from kalshi_data.times import Interval, Moment, period_of, step_of

QUOTE_SCHEMA = pa.schema(
    [
        pa.field("at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("yes_bid_e6", pa.int32()),
        pa.field("yes_bid_size_e2", pa.int64()),
        pa.field("yes_ask_e6", pa.int32()),
        pa.field("yes_ask_size_e2", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
    ]
)


class CommonCalls(ABC):
    """Trades, book changes, quotes and replays. A name is a market, an event or a series; None means all. A start is
    included, an end is not, and without them everything is meant."""

    def trades(self, name: str | None = None, start: Moment | None = None, end: Moment | None = None) -> Records:
        return self._records(TRADES_TABLE, TRADES, name, period_of(start, end))

    def book_changes(self, name: str | None = None, start: Moment | None = None, end: Moment | None = None) -> Records:
        """Return every change of a price level."""
        return self._records(DELTAS, BOOKS, name, period_of(start, end))

    def quotes(
        self,
        name: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        every: str | timedelta | None = None,
    ) -> Records:
        """Return best bid and ask: as the exchange sent them, or with `every` out of the market's order book, at each
        step. In a hole they are null, and `state` says so."""
        if every is None:
            return self._records(TICKERS_TABLE, TICKERS, name, period_of(start, end))
        if name is None:
            raise LakeError("Quotes in steps are those of one market.", fix="name it.")
        record, steps, coverage = self._steps(name, period_of(start, end), step_of(every))
        return Records(lambda: quotes_of(replay(record, coverage, steps)), lambda: coverage, "at")

    def replay(
        self, ticker: str, start: Moment | None = None, end: Moment | None = None, every: str | timedelta = "1s"
    ) -> Iterator[Book]:
        """Return the market's books, one each step. In a hole the book is empty and its state `hole`; `reset_by` of the
        first book after a hole names it, however short it was."""
        record, steps, coverage = self._steps(ticker, period_of(start, end), step_of(every))
        return replay(record, coverage, steps)

    @abstractmethod
    def _records(self, table: str, channel: str, name: str | None, period: Interval) -> Records:
        """Return the records of a table, whose completeness is that of a channel."""

    @abstractmethod
    def _steps(self, ticker: str, period: Interval, step: timedelta) -> tuple[MarketRecord, Steps, Coverage]:
        """Return what a replay of the market needs."""


def quotes_of(books: Iterator[Book]) -> pa.Table:
    """Return the best bid and ask of each book."""
    rows = []
    for book in books:
        bid, ask = book.best_bid(True) or (None, None), book.best_bid(False)
        rows.append((book.at, *bid, *((DOLLAR_E6 - ask[0], ask[1]) if ask else (None, None)), book.state))
    columns = zip(*rows, strict=True) if rows else [[]] * len(QUOTE_SCHEMA)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, QUOTE_SCHEMA, strict=True)], QUOTE_SCHEMA
    )
