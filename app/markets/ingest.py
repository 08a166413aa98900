from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

import gevent.lock
import gevent.queue
import msgspec
from msgspec import Raw

from app.kalshi.rest_objects import MarketQuote
from app.markets.lifecycle import Announcement, as_vanished
from app.markets.market import STATUSES, Market, MarketChange, Quote
from app.markets.refetch_queue import RefetchQueue
from app.markets.registry import Markets
from app.metrics import gatherer as metrics
from app.metrics.gatherer import CHANGES, UNREADABLE_QUOTES
from app.normalize.metadata import event_row, market_row, series_row
from app.normalize.values import UnfitMessageError, count_e2, digest64, fitting, price_e6
from app.runtime import logs
from app.runtime.health import StoppedError, Stopping
from app.storage.tables import EVENTS, MARKETS, NO_DETAILS, QUARANTINE, SERIES, Row, Table
from app.storage.write_queue import Sink

# An object of REST to what is kept of it: its row for the database, and what the registry needs.

NAMES = MARKETS.column_names
# In the order of Market's fields.
KNOWN_NAMES = (
    *("ticker", "event_ticker", "status", "market_type", "result", "exchange_index"),
    *("open_time", "close_time", "expiration_time", "updated_time", "title"),
)
_market_values = itemgetter(*map(NAMES.index, KNOWN_NAMES))
UPDATED_AT = NAMES.index("updated_at")
_encode = msgspec.msgpack.Encoder().encode


class _Named(msgspec.Struct):
    ticker: str = ""


_quote_decoder = msgspec.json.Decoder(MarketQuote)
_named_decoder = msgspec.json.Decoder(_Named)


class ParsedMarket(NamedTuple):
    market: Market
    quote: Quote | None  # None: it is not understood
    digest: int  # of all that the row says, apart from when it was read
    row: Row


def read_market(content: bytes | Raw, now_us: int) -> ParsedMarket:
    row = market_row(content, now_us)
    market = Market(*_market_values(row))
    if market.status not in STATUSES:
        raise UnfitMessageError(f"{market.status[:50]!r} is no status of a market")
    if not market.ticker or not market.event_ticker:
        raise UnfitMessageError("a market needs a ticker and an event")
    if market.exchange_index is not None and not 0 <= market.exchange_index < 2**31:
        raise UnfitMessageError(f"{market.exchange_index} is no exchange index")
    digest = digest64(_encode((row[:UPDATED_AT], row[UPDATED_AT + 1 :])))
    return ParsedMarket(market, _read_quote(content), digest, row)


def _read_quote(content: bytes | Raw) -> Quote | None:
    """Return None for one that is not understood. It is for being shown alone: its market is followed all the same."""
    try:
        said = fitting(_quote_decoder, content)
        return Quote(
            price_e6(said.yes_bid_dollars, said.yes_bid),
            price_e6(said.yes_ask_dollars, said.yes_ask),
            # REST writes 0 where nothing was traded yet.
            price_e6(said.last_price_dollars, said.last_price) or None,
            count_e2(said.volume_fp, said.volume),
        )
    except UnfitMessageError:
        UNREADABLE_QUOTES.inc()
        return None


def ticker_of(content: bytes | Raw) -> str:
    """Return the name of a market, whatever else its object says; nothing where it does not even say that."""
    try:
        return _named_decoder.decode(content).ticker
    except msgspec.DecodeError:
        return ""


def told_row(market: Market, now_us: int) -> Row:
    """Return the row of a market that REST does not show: what is known of it without REST, and no details."""
    known = {
        **dict.fromkeys(NAMES),
        "details": NO_DETAILS,
        "updated_at": now_us,
        **dict(zip(KNOWN_NAMES, market, strict=False)),  # what follows in a market is its quote
    }
    return tuple(known.values())


CHANGE_BUFFER_SIZE = 1_000
LOOK_UP_SECONDS = 1


class ChangeQueue(Protocol):
    """gevent's bounded queue."""

    def get(self, block: bool = True, timeout: float | None = None) -> MarketChange: ...

    def put(self, item: MarketChange, block: bool = True, timeout: float | None = None) -> None: ...


def new_queue() -> ChangeQueue:
    queue: ChangeQueue = gevent.queue.Queue(CHANGE_BUFFER_SIZE)
    return queue


class ChangeFeed:
    """Changes to all who subscribed, each in the order in which they happened. Who is slow is waited for."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._queues: list[ChangeQueue] = []  # bounded by the parts of the process

    def subscribe(self) -> ChangeQueue:
        """Return a queue for all changes that are published from now on."""
        queue = new_queue()
        self._queues.append(queue)
        return queue

    def introduce(self, queue: ChangeQueue, introductions: Iterable[MarketChange]) -> None:
        """Put these into the queue, then all changes that are published from then on."""
        for change in introductions:
            self._put(queue, change)
        self._queues.append(queue)

    def publish(self, changes: Iterable[MarketChange]) -> None:
        for change in changes:
            CHANGES.labels(change.event_type).inc()
            for queue in self._queues:
                self._put(queue, change)

    def _put(self, queue: ChangeQueue, change: MarketChange) -> None:
        is_waiting = True
        while is_waiting:
            try:
                queue.put(change, timeout=LOOK_UP_SECONDS)
                is_waiting = False
            except gevent.queue.Full:
                # Whoever should take it may have stopped already.
                if self._stopping.is_set():
                    raise StoppedError from None


log = logs.get(__name__)

Content = TypeVar("Content")
Clock = Callable[[], int]
SERIES_TICKER = SERIES.column_names.index("ticker")


class EventName(NamedTuple):
    event_ticker: str
    series_ticker: str


_event_names = itemgetter(*map(EVENTS.column_names.index, EventName._fields))


class RegistryUpdater:
    """Where everything that is learnt comes in: it changes the registry's markets, is stored, and is told to others.

    One batch after the other, so that others hear of changes in the order in which they happened.
    """

    def __init__(self, markets: Markets, sink: Sink, feed: ChangeFeed, events: RefetchQueue, clock_us: Clock) -> None:
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
            known: list[ParsedMarket] = []
            unknown: list[ParsedMarket] = []
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

    def _take(self, read: Iterable[ParsedMarket], now_us: int) -> None:
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
            metrics.REGISTRY_QUARANTINED.labels(table.name).inc(len(unreadable))
            self._sink.put(QUARANTINE, unreadable)
        metrics.OBJECTS.labels(table.name).inc(len(done))
        return done

    def _store(self, table: Table, rows: list[Row]) -> None:
        if rows:
            metrics.REGISTRY_ROWS.labels(table.name).inc(len(rows))
            self._sink.put(table, rows)
