"""Quotes that the exchange really sent against the books that its changes lead to. The frames are not part of the project:
KALSHI_RECORDED_FRAMES names a folder with burst.jsonl.gz, a line for each frame and for each new connection."""

import gzip
import json
import os
from pathlib import Path

import pytest

from app.audit.pairs import levels_of
from app.audit.quotes import AuditQuote, Change, QuotedBook
from app.kalshi.messages import OrderbookDelta, OrderbookSnapshot, Ticker
from app.normalize.stream import TABLES
from tests.normalize.reading import Reader

FOLDER = os.environ.get("KALSHI_RECORDED_FRAMES")
# The exchange empties a book at its close, without changes, and shows that up to this much later.
CLOSES_WITHIN_US = 20_000_000


class Shown:
    """A book from its snapshot on: its changes, and the quotes that came while nothing was missing."""

    def __init__(self, book):
        self.book = book
        self.changes = []
        self.quotes = []
        self.unsure = []  # since the last message with a number

    def is_heard(self):
        self.quotes += self.unsure
        self.unsure = []

    def end(self, closed_us):
        self.quotes = [quote for quote in self.quotes if quote.at_us < closed_us]

    def contradicted(self):
        self.changes.sort(key=lambda change: change.at_us)
        position = 0
        for quote in sorted(self.quotes, key=lambda quote: quote.at_us):
            start = position
            while start < len(self.changes) and self.changes[start].at_us < quote.at_us:
                start += 1
            end = start
            while end < len(self.changes) and self.changes[end].at_us < quote.end_us:
                end += 1
            self.book.apply(self.changes[position:start], quote.at_us)
            position = start
            if self.book.contradictions(quote, self.changes[start:end]):
                yield quote


def lines(path):
    with gzip.open(path, "rb") as stream:
        yield from map(json.loads, stream)


class Recording:
    """Frames in the order in which they were received, and the books that they show."""

    def __init__(self):
        self.finished = []
        self._connect()
        self._takes = {OrderbookSnapshot: self._snapshot, OrderbookDelta: self._change, Ticker: self._quote}

    def take(self, line):
        if "frame" not in line:
            self._end()
            self._connect()
            return
        gaps = len(self._reader.gaps)
        message, row = self._reader.read(json.dumps(line["frame"]).encode(), line["received_ns"] // 1_000)
        if len(self._reader.gaps) > gaps:
            self._lose()
        elif message.seq is not None:
            for shown in self._current.values():
                shown.is_heard()
        self._takes[type(message)](dict(zip(TABLES[type(message)].column_names, row, strict=True)))

    def _connect(self):
        self._current, self._reader = {}, Reader()

    def _end(self):
        self.finished += self._current.values()
        self._current = {}

    def _lose(self):
        for shown in self._current.values():
            shown.unsure = []
        self._end()

    def _snapshot(self, values):
        before = self._current.pop(values["ticker"], None)
        book = book_of(values)
        if before:
            self.finished.append(before)
        if before and not len(book):
            before.end(values["received_at"] - CLOSES_WITHIN_US)
        else:
            self._current[values["ticker"]] = Shown(book)

    def _change(self, values):
        if shown := self._current.get(values["ticker"]):
            names = ("exchange_ts", "yes_side", "price_e6", "delta_e2")
            shown.changes.append(Change(*(values[name] for name in names)))

    def _quote(self, values):
        if shown := self._current.get(values["ticker"]):
            names = ("exchange_ts", "yes_bid_e6", "yes_bid_size_e2", "yes_ask_e6", "yes_ask_size_e2")
            shown.unsure.append(AuditQuote(*(values[name] for name in names)))


def book_of(values):
    names = ("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2")
    levels = levels_of(*(values[name] for name in names))
    return QuotedBook(0, ((*level, size_e2) for level, size_e2 in levels.items()))


@pytest.mark.skipif(FOLDER is None, reason="KALSHI_RECORDED_FRAMES names no folder of recorded frames")
def test_no_quote_contradicts_what_was_recorded_without_a_loss():
    recording = Recording()
    for line in lines(Path(FOLDER) / "burst.jsonl.gz"):
        recording.take(line)
    assert sum(len(each.quotes) for each in recording.finished) > 1_000
    assert [quote for each in recording.finished for quote in each.contradicted()] == []
