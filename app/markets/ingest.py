"""The single entry of new information into the registry.

In: objects of REST, lifecycle messages and the clock. Out: rows for the metadata database, and changes for subscribers.
One lock makes each batch atomic, so that subscribers receive changes in the order in which they happened.
"""

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
from app.normalize.values import UnfitMessageError, count_e2, decoded, digest64, price_e6
from app.runtime import logs
from app.runtime.health import StoppedError, Stopping
from app.storage.tables import EVENTS, MARKETS, NO_DETAILS, QUARANTINE, SERIES, Row, Table
from app.storage.write_queue import Sink

# Parsing of REST objects: the row for the database, and the fields that the registry needs.

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
    quote: Quote | None  # None if it could not be read
    digest: int  # of the whole row but the time of reading
    row: Row


def read_market(content: bytes | Raw, now_us: int) -> ParsedMarket:
    """Parse a market. Raise UnfitMessageError if the registry or the database cannot hold it."""
    row = market_row(content, now_us)
    market = Market(*_market_values(row))
    if market.status not in STATUSES:
        raise UnfitMessageError(f"{market.status[:50]!r} is not a market status")
    if not market.ticker or not market.event_ticker:
        raise UnfitMessageError("a market needs a ticker and an event")
    if market.exchange_index is not None and not 0 <= market.exchange_index < 2**31:
        raise UnfitMessageError(f"{market.exchange_index} is not an exchange index")
    digest = digest64(_encode((row[:UPDATED_AT], row[UPDATED_AT + 1 :])))
    return ParsedMarket(market, _read_quote(content), digest, row)


def _read_quote(content: bytes | Raw) -> Quote | None:
    """Return the quote, or None if it cannot be read.

    Quotes are for display only: a market with an unreadable quote is followed like any other.
    """
    try:
        said = decoded(_quote_decoder, content)
        return Quote(
            price_e6(said.yes_bid_dollars, said.yes_bid),
            price_e6(said.yes_ask_dollars, said.yes_ask),
            # REST writes 0 where nothing has been traded yet.
            price_e6(said.last_price_dollars, said.last_price) or None,
            count_e2(said.volume_fp, said.volume),
        )
    except UnfitMessageError:
        UNREADABLE_QUOTES.inc()
        return None


def ticker_of(content: bytes | Raw) -> str:
    """Return the ticker in a market's object, whatever its other members are; an empty string if it has none."""
    try:
        return _named_decoder.decode(content).ticker
    except msgspec.DecodeError:
        return ""


def row_without_details(market: Market, now_us: int) -> Row:
    """Return the row of a market that REST does not show: its known fields, and no details."""
    known = {
        **dict.fromkeys(NAMES),
        "details": NO_DETAILS,
        "updated_at": now_us,
        **dict(zip(KNOWN_NAMES, market, strict=False)),  # the quote follows in a market's fields, and is cut off
    }
    return tuple(known.values())


CHANGE_BUFFER_SIZE = 1_000
LOOK_UP_SECONDS = 1


class ChangeQueue(Protocol):
    """The part of gevent's bounded queue that is used here."""

    def get(self, block: bool = True, timeout: float | None = None) -> MarketChange: ...

    def put(self, item: MarketChange, block: bool = True, timeout: float | None = None) -> None: ...


def new_queue() -> ChangeQueue:
    queue: ChangeQueue = gevent.queue.Queue(CHANGE_BUFFER_SIZE)
    return queue


class ChangeFeed:
    """Publish changes to all subscribers, each in the order in which they happened. Slow subscribers are waited for."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._queues: list[ChangeQueue] = []  # bounded by the number of the process's components

    def subscribe(self) -> ChangeQueue:
        """Return a queue for all changes that are published from now on."""
        queue = new_queue()
        self._queues.append(queue)
        return queue

    def introduce(self, queue: ChangeQueue, introductions: Iterable[MarketChange]) -> None:
        """Put these changes into the queue, then all that are published from then on."""
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
                # The subscriber may have stopped already.
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
    """Apply everything that becomes known: to the registry's markets, to the database, and to subscribers of changes.

    One batch is applied after the other, so that subscribers receive changes in the order in which they happened.
    """

    def __init__(self, markets: Markets, sink: Sink, feed: ChangeFeed, events: RefetchQueue, clock_us: Clock) -> None:
        self.markets = markets
        self.known_series: set[str] = set()  # bounded by the exchange's few ten thousand series
        self.meets_events = False
        self._sink = sink
        self._events = events
        self._feed = feed
        self.now_us = clock_us
        self._turn: AbstractContextManager[object] = gevent.lock.RLock()

    def take_markets(self, objects: Iterable[Raw]) -> list[Market]:
        """Apply markets that REST showed. Return the ones that could be read."""
        with self._turn:
            now_us = self.now_us()
            read = self._read(MARKETS, objects, lambda content: read_market(content, now_us))
            self._take(read, now_us)
        return [reading.market for reading in read]

    def recall(self, stored: Iterable[Market]) -> int:
        """Follow markets of an earlier run that nothing newer is known of. Return how many there are."""
        with self._turn:
            now_us = self.now_us()
            unknown = [market for market in stored if not self.markets.knows(market.ticker)]
            changes = [self.markets.recall(market, now_us) for market in unknown]
            self._feed.publish(change for change in changes if change is not None)
        return len(unknown)

    def take_settled(self, objects: Iterable[Raw]) -> int:
        """Apply settled markets. Return how many could be read.

        An unknown market is only stored: there is nothing to follow, and after a long absence there are more of these
        than of all others.
        """
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
        """Store events. Return the names of the ones that could be read."""
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

    def apply_announcement(self, told: Announcement) -> MarketChange | None:
        return self._change(lambda now_us: self.markets.apply_announcement(told, now_us))

    def next_clock_change(self) -> MarketChange | None:
        return self._change(self.markets.next_clock_change)

    def vanish(self, ticker: str) -> MarketChange | None:
        """Apply that REST did not find a market. Return the change, if there is one.

        Its last known state stays stored, with the end that is known.
        """
        with self._turn:
            now_us = self.now_us()
            vanished = self.markets.vanish(ticker, now_us)
            if vanished is None:
                return None
            self._store(MARKETS, [row_without_details(vanished.market, now_us)])
            if vanished.change is not None:
                self._feed.publish([vanished.change])
        return vanished.change

    def end(self, market: Market) -> None:
        """Store the known end of a market that REST no longer shows."""
        with self._turn:
            now_us = self.now_us()
            if self.markets.knows(market.ticker):
                self.vanish(market.ticker)
            else:
                self._store(MARKETS, [row_without_details(as_vanished(market, now_us), now_us)])

    def introduce(self, queue: ChangeQueue) -> None:
        """Send a late subscriber a "created" change for every followed market, then all further changes.

        The lock delays changes meanwhile, so that none is missed or received twice.
        """
        with self._turn:
            self._feed.introduce(queue, self.markets.followed())

    def want_events(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            self._events.want(ticker)

    def _take(self, read: Iterable[ParsedMarket], now_us: int) -> None:
        rows, changes = [], []
        for reading in read:
            shown = self.markets.apply_rest(reading.market, reading.digest, now_us, reading.quote)
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
        """Ask for the new market's event: since the lists of events began to be read, it may be in none of them."""
        if self.meets_events:
            self._events.want(market.event_ticker)

    def _read(self, table: Table, objects: Iterable[Raw], read: Callable[[Raw], Content]) -> list[Content]:
        """Return the objects that could be parsed; the others go to quarantine as they came."""
        done: list[Content] = []
        unreadable: list[Row] = []
        for content in objects:
            try:
                done.append(read(content))
            except UnfitMessageError as error:
                unreadable.append((self.now_us(), table.name, str(error), bytes(content)))
        if unreadable:
            log.warning(
                "REST objects quarantined", table=table.name, objects=len(unreadable), first_reason=unreadable[0][2]
            )
            metrics.REGISTRY_QUARANTINED.labels(table.name).inc(len(unreadable))
            self._sink.put(QUARANTINE, unreadable)
        metrics.OBJECTS.labels(table.name).inc(len(done))
        return done

    def _store(self, table: Table, rows: list[Row]) -> None:
        if rows:
            metrics.REGISTRY_ROWS.labels(table.name).inc(len(rows))
            self._sink.put(table, rows)
