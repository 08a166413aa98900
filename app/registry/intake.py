from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import NamedTuple, TypeVar

import gevent.lock
from msgspec import Raw

from app import logs
from app.metrics import registry as metrics
from app.normal.metadata import event_row, series_row
from app.normal.unfit import UnfitMessageError
from app.recording import Sink
from app.registry.announcement import Announcement, as_vanished
from app.registry.change import MarketChange
from app.registry.change_feed import ChangeFeed, ChangeQueue
from app.registry.market import Market
from app.registry.markets import Markets
from app.registry.reading import MarketReading, read_market, told_row
from app.registry.rereads import Rereads
from app.store.journal_tables import QUARANTINE
from app.store.metadata_tables import EVENTS, MARKETS, SERIES
from app.store.tables import Row, Table

log = logs.get(__name__)

Content = TypeVar("Content")
Clock = Callable[[], int]
SERIES_TICKER = SERIES.column_names.index("ticker")


class EventName(NamedTuple):
    event_ticker: str
    series_ticker: str


_event_names = itemgetter(*map(EVENTS.column_names.index, EventName._fields))


class Intake:
    """Where everything that is learnt comes in: it changes the registry's markets, is stored, and is told to others.

    One batch after the other, so that others hear of changes in the order in which they happened.
    """

    def __init__(self, markets: Markets, sink: Sink, feed: ChangeFeed, events: Rereads, clock_us: Clock) -> None:
        self.markets = markets
        self.known_series: set[str] = set()  # bounded by the exchange's few ten thousand
        self.meets_events = False
        self._sink = sink
        self._events = events
        self._feed = feed
        self.now_us = clock_us
        self._turn: AbstractContextManager[object] = gevent.lock.RLock()

    def take_markets(self, objects: Iterable[Raw]) -> list[Market]:
        """All that REST showed and that could be read."""
        with self._turn:
            now_us = self.now_us()
            read = self._read(MARKETS, objects, lambda content: read_market(content, now_us))
            self._take(read, now_us)
        return [reading.market for reading in read]

    def take_settled(self, objects: Iterable[Raw]) -> int:
        """Return how many could be read. One that is not known comes to the database alone: there is nothing to follow,
        and after a long time there are more of them than of all others."""
        with self._turn:
            now_us = self.now_us()
            read = self._read(MARKETS, objects, lambda content: read_market(content, now_us))
            known: list[MarketReading] = []
            unknown: list[MarketReading] = []
            for reading in read:
                (known if self.markets.knows(reading.market.ticker) else unknown).append(reading)
            self._store(MARKETS, [reading.row for reading in unknown])
            self._take(known, now_us)
        return len(read)

    def take_events(self, objects: Iterable[Raw]) -> list[EventName]:
        """Those that could be read."""
        now_us = self.now_us()
        rows = self._read(EVENTS, objects, lambda content: event_row(content, now_us))
        names = [EventName(*_event_names(row)) for row in rows]
        self._store(EVENTS, rows)
        return names

    def take_series(self, objects: Iterable[Raw]) -> None:
        now_us = self.now_us()
        rows = self._read(SERIES, objects, lambda content: series_row(content, now_us))
        self.known_series.update(row[SERIES_TICKER] for row in rows)
        self._store(SERIES, rows)

    def tell(self, told: Announcement) -> MarketChange | None:
        return self._change(lambda now_us: self.markets.tell(told, now_us))

    def turn(self) -> MarketChange | None:
        return self._change(self.markets.turn)

    def vanish(self, ticker: str) -> MarketChange | None:
        """REST did not find it. What it said before stays stored, with the end that is known."""
        with self._turn:
            now_us = self.now_us()
            vanished = self.markets.vanish(ticker, now_us)
            if vanished is None:
                return None
            self._store(MARKETS, [told_row(vanished.market, now_us)])
            if vanished.change is not None:
                self._feed.publish([vanished.change])
        return vanished.change

    def end(self, market: Market) -> None:
        """REST shows it no more, and only the database knows it: there it gets the end that is known."""
        with self._turn:
            now_us = self.now_us()
            if not self.markets.knows(market.ticker):
                self._store(MARKETS, [told_row(as_vanished(market, now_us), now_us)])

    def introduce(self, queue: ChangeQueue) -> None:
        """Tell somebody who comes late of every market that is followed, then of changes like all others.

        Nothing changes meanwhile: what happens waits for its turn, so that nothing is told twice or not at all.
        """
        with self._turn:
            self._feed.introduce(queue, self.markets.followed())

    def want_events(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            self._events.want(ticker)

    def _take(self, read: Iterable[MarketReading], now_us: int) -> None:
        rows, changes = [], []
        for reading in read:
            shown = self.markets.show(reading.market, reading.digest, now_us, reading.quote)
            if shown.is_news:
                rows.append(reading.row)
            if shown.is_new:
                self._meet(reading.market)
            if shown.change:
                changes.append(shown.change)
        self._store(MARKETS, rows)
        self._feed.publish(changes)

    def _change(self, make: Callable[[int], MarketChange | None]) -> MarketChange | None:
        with self._turn:
            change = make(self.now_us())
            if change is not None:
                self._feed.publish([change])
        return change

    def _meet(self, market: Market) -> None:
        """A market that comes after the lists of events were begun may have one that is in none of them."""
        if self.meets_events:
            self._events.want(market.event_ticker)

    def _read(self, table: Table, objects: Iterable[Raw], read: Callable[[Raw], Content]) -> list[Content]:
        """What is readable; the rest is kept as it came."""
        done: list[Content] = []
        unreadable: list[Row] = []
        for content in objects:
            try:
                done.append(read(content))
            except UnfitMessageError as error:
                unreadable.append((self.now_us(), table.name, str(error), bytes(content)))
        if unreadable:
            log.warning("objects quarantined", table=table.name, objects=len(unreadable), first_reason=unreadable[0][2])
            metrics.QUARANTINED.labels(table.name).inc(len(unreadable))
            self._sink.put(QUARANTINE, unreadable)
        metrics.OBJECTS.labels(table.name).inc(len(done))
        return done

    def _store(self, table: Table, rows: list[Row]) -> None:
        if rows:
            metrics.ROWS.labels(table.name).inc(len(rows))
            self._sink.put(table, rows)
