"""Trades of past times, from REST.

A trade that is already stored has the same key, so repeating a request does no harm.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec import Raw

from app.kalshi.rest_client import RestClient
from app.normalize.events import rest_trade_row
from app.normalize.values import SECOND_US, UnfitMessageError
from app.polling.books import unfit_row
from app.postgres.dsn import Dsn
from app.storage.tables import QUARANTINE, TRADES, Row, Table
from app.storage.write_queue import Sink
from app.storage.writer import CopyWriter

TRADES_AT_ONCE = 1_000
# The exchange takes whole seconds, and does not document which of the two bounds is inclusive.
MARGIN_SECONDS = 1


class BackFilled(NamedTuple):
    trades: int
    unfit: int


def backfill(
    client: RestClient,
    sink: Sink,
    started_us: int,
    ended_us: int,
    clock_us: Callable[[], int],
    ticker: str | None = None,
) -> BackFilled:
    """Fetch the trades of a time. Return when the sink has all of them.

    After an error it is unknown which trades the sink has: repeat all.
    """
    trades = unfit = 0
    for part in trades_between(client, started_us, ended_us, ticker):
        good, bad = trade_rows(part, clock_us())
        trades += len(good)
        unfit += len(bad)
        if good:
            sink.put(TRADES, good)
        if bad:
            sink.put(QUARANTINE, bad)
    return BackFilled(trades, unfit)


def trades_between(
    client: RestClient, started_us: int, ended_us: int, ticker: str | None = None
) -> Iterator[list[Raw]]:
    """Yield all trades of a time in batches, and a few from shortly before and after it.

    The exchange moves old trades to its archive at any time. So the recent ones are requested first, and the cutoff
    afterwards: a trade that is moved in between is returned twice rather than not at all.
    """
    min_ts = started_us // SECOND_US - MARGIN_SECONDS
    max_ts = -(-ended_us // SECOND_US) + MARGIN_SECONDS
    yield from _parts(client.trades(min_ts, max_ts, ticker))
    if min_ts < client.historical_cutoff().trades_created_ts.timestamp():
        yield from _parts(client.historical_trades(min_ts, max_ts, ticker))


def _parts(trades: Iterator[Raw]) -> Iterator[list[Raw]]:
    while part := list(islice(trades, TRADES_AT_ONCE)):
        yield part


def trade_rows(trades: Iterable[Raw], received_us: int) -> tuple[list[Row], list[Row]]:
    """Return the rows of the trades, and the rows for quarantine."""
    good: list[Row] = []
    bad: list[Row] = []
    for content in trades:
        try:
            good.append(rest_trade_row(content, received_us))
        except UnfitMessageError as error:
            bad.append(unfit_row(TRADES, content, str(error), received_us))
    return good, bad


class DirectSink:
    """Write rows to the database before put() returns, for programs with nothing to do in the meantime."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._writers: dict[str, CopyWriter] = {}
        self.inserted: dict[str, int] = {}

    def put(self, table: Table, rows: list[Row]) -> None:
        if table.name not in self._writers:
            self._writers[table.name] = CopyWriter(table, self._dsn)
        written = self._writers[table.name].write(rows)
        self.inserted[table.name] = self.inserted.get(table.name, 0) + written.inserted

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


MOST_INTERVALS = 1_000
LONGEST_US = 3_600_000_000
BEGINNING_US = -1


class Interval(NamedTuple):
    started_us: int
    ended_us: int


class Intervals:
    """Times whose trades are still to be fetched; intervals that touch are joined.

    The number of intervals is bounded: beyond it, the two closest ones are joined. That fetches more, and loses
    nothing.
    """

    def __init__(self, most: int = MOST_INTERVALS) -> None:
        self._most = most
        self._apart: list[Interval] = []  # in order
        self._continue_us = BEGINNING_US

    def __len__(self) -> int:
        return len(self._apart)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._apart)

    @property
    def seconds(self) -> int:
        return sum(each.ended_us - each.started_us for each in self._apart) // 1_000_000

    def add(self, added: Interval) -> None:
        if added.ended_us < added.started_us:
            raise ValueError(f"{added} ends before it starts")
        touching = [each for each in self._apart if _touch(each, added)]
        apart = [each for each in self._apart if not _touch(each, added)]
        self._apart = sorted([*apart, _hull([*touching, added])])
        if len(self._apart) > self._most:
            self._join_closest()

    def next_piece(self, until_us: int) -> Interval | None:
        """Return the next interval that ends by `until_us`, at most an hour long, or None if there is none.

        An error or a restart repeats no more than that hour. Successive calls go round, so that an interval that fails
        repeatedly does not block the others.
        """
        for from_us in (self._continue_us, BEGINNING_US):
            for each in self._apart:
                if each.ended_us <= from_us:
                    continue
                started_us = max(each.started_us, from_us)
                piece = Interval(started_us, min(started_us + LONGEST_US, each.ended_us))
                if piece.ended_us <= until_us:
                    self._continue_us = piece.ended_us
                    return piece
        return None

    def remove(self, done: Interval) -> None:
        self._apart = [left for each in self._apart for left in _without(each, done)]

    def _join_closest(self) -> None:
        after = min(
            range(1, len(self._apart)), key=lambda at: self._apart[at].started_us - self._apart[at - 1].ended_us
        )
        self._apart[after - 1 : after + 1] = [_hull(self._apart[after - 1 : after + 1])]


def _touch(one: Interval, other: Interval) -> bool:
    return one.started_us <= other.ended_us and other.started_us <= one.ended_us


def _hull(intervals: Sequence[Interval]) -> Interval:
    return Interval(min(each.started_us for each in intervals), max(each.ended_us for each in intervals))


def _without(interval: Interval, done: Interval) -> list[Interval]:
    if not _touch(interval, done):
        return [interval]
    left = [Interval(interval.started_us, done.started_us), Interval(done.ended_us, interval.ended_us)]
    return [each for each in left if each.started_us < each.ended_us]
