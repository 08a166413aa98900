"""The snapshot poller: order books by REST, each class of books at its own interval.

In: the active markets and the request budget. Out: snapshots of changed books, confirmations of unchanged ones,
metrics.
app/polling decides which books are due and what is stored; this module does the requests.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import gevent
from msgspec import Raw

from app.kalshi.errors import AccessDeniedError, RequestRefusedError, RestError
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_objects import AccountLimits
from app.metrics import rest as metrics
from app.ops.live import BusyError, LivePolling, NoBookError
from app.polling.book_cycles import ActiveMarkets, BookClass, BookCycles, Cycle, PollingPart, book_class
from app.polling.books import TICKER, PolledBooks, SeenBooks, polled_books, rows_to_store
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.health import Stopping
from app.storage.tables import ORDERBOOK_SNAPSHOTS, QUARANTINE, Row
from app.storage.write_queue import Sink
from workers.process.group import Component, Group
from workers.process.loop import Loop

log = logs.get(__name__)

TICKERS_BETWEEN_PAUSES = 5_000
# Not 0: that would let other ready greenlets run, but would poll sockets and timers only after fifty sleeps.
PAUSE_SECONDS = 0.001
MOST_AT_ONCE_ON_DEMAND = 8


class Walk(NamedTuple):
    """The last walk over the books of a class; `seconds` is None before the first."""

    seconds: float | None = None
    markets: int = 0


class SnapshotPoller:
    """Ask REST for the active markets' books, each class once per interval, or as often as the request budget allows.

    As many greenlets run it as requests must be in flight to use the budget; they share the walks over the markets.
    """

    def __init__(
        self,
        markets: ActiveMarkets,
        client: RestClient,
        urgent_client: RestClient,
        sink: Sink,
        intervals_seconds: Mapping[BookClass, float],
        stopping: Stopping,
        part: PollingPart = PollingPart(),  # noqa: B008  # a value
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._markets = markets
        self._client = client
        self._urgent_client = urgent_client
        self._sink = sink
        self._stopping = stopping
        self._part = part
        self._clock = clock
        self.component = Component("snapshot_poller", stopping)
        self.seen = SeenBooks()
        self._intervals_seconds = intervals_seconds
        self._cycles = BookCycles(intervals_seconds, self._tickers_of, markets.is_active)
        self._choosing = threading.Lock()
        self._demands = threading.BoundedSemaphore(MOST_AT_ONCE_ON_DEMAND)
        self._polled_since_seconds = dict.fromkeys(BookClass, clock())
        self._walks: dict[BookClass, Walk] = {}
        self._refusal = ""
        for which in BookClass:
            metrics.OLDEST_BOOK_SECONDS.labels(which.value).set_function(partial(self._oldest_seconds, which))

    def start(self, group: Group, fetchers: int) -> None:
        for _ in range(fetchers):
            group.spawn(self.run)

    def run(self) -> None:
        # A loop for each greenlet that runs this: they share the cycles, and not the pauses.
        self.component.run(Loop(self.step, self._idle_seconds, self._stopping).run)

    def step(self) -> bool:
        """Poll the next batch. Return True while there may be more to poll."""
        # Choosing a batch may walk over all markets, and rests while it does: one greenlet chooses at a time.
        with self._choosing:
            chosen = self._cycles.next_batch(self._clock())
        if chosen is not None:
            cycle, batch = chosen
            try:
                self._poll(batch)
            finally:
                cycle.done(batch)
        for which, cycle in self._cycles.ended(self._clock()):
            self._report_walk(which, cycle)
        return chosen is not None

    def _idle_seconds(self) -> float:
        return self._cycles.idle_seconds(self._clock())

    def poll_now(self, ticker: str) -> Row:
        """Return one market's full book, fetched with priority over the other polls, and store it too."""
        if not self._markets.is_active(ticker):
            raise NoBookError(f"{ticker} is not an active market.")
        if not self._demands.acquire(blocking=False):
            raise BusyError(f"{MOST_AT_ONCE_ON_DEMAND} books are already being requested.", fix="retry later.")
        try:
            polled = self._store([ticker], list(self._urgent_client.order_books([ticker])))
        finally:
            self._demands.release()
        if not polled.rows:
            raise NoBookError(
                f"The exchange's answer for {ticker} could not be parsed.", fix="see the table quarantine."
            )
        return polled.rows[0]

    def _tickers_of(self, which: BookClass) -> Iterable[str]:
        if which is BookClass.COMBO:
            # Lazily: there are a million combos, and a combo never changes its class.
            return self._members(which)
        # A list, fixed now: a book whose sides are learnt during the walk must not be polled again in another class.
        return list(self._members(which))

    def _members(self, which: BookClass) -> Iterator[str]:
        """Yield the tickers of a class. A book that has not been polled yet counts as possibly two-sided."""
        if which is BookClass.ONE_SIDED:
            self._forget_ended()
        for ticker in _with_pauses(self._markets.active_tickers()):
            may_be_two_sided = self.seen.may_be_two_sided(ticker)
            if book_class(ticker, may_be_two_sided=may_be_two_sided) is which and self._part.holds(ticker):
                yield ticker

    def _forget_ended(self) -> None:
        for ticker in _with_pauses(list(self.seen)):
            if not self._markets.is_active(ticker):
                self.seen.forget(ticker)

    def _poll(self, tickers: list[str]) -> None:
        try:
            books = list(self._client.order_books(tickers))
        except AccessDeniedError:
            raise
        except RestError as error:
            self._not_polled(tickers, error)
        else:
            self.component.works()
            self._store(tickers, books)

    def _not_polled(self, tickers: list[str], error: RestError) -> None:
        metrics.POLLS.inc()
        if len(tickers) > 1 and isinstance(error, RequestRefusedError):
            # Split the batch: one refused ticker must not keep the others from being polled.
            middle = len(tickers) // 2
            self._poll(tickers[:middle])
            self._poll(tickers[middle:])
        else:
            metrics.BOOKS.labels("refused").inc(len(tickers))
            self._refusal = str(error)

    def _store(self, tickers: list[str], books: list[Raw]) -> PolledBooks:
        polled = polled_books(tickers, books, self.seen, now_us())
        if polled.unfit:
            self._sink.put(QUARANTINE, polled.unfit)
        if polled.rows:
            self._sink.put(ORDERBOOK_SNAPSHOTS, rows_to_store(polled))
        own = {ticker: ticker for ticker in tickers}
        for row in polled.changed:
            self.seen.note(own[row[TICKER]], row)
        metrics.count_books(polled)
        return polled

    def _report_walk(self, which: BookClass, cycle: Cycle) -> None:
        took_seconds = self._clock() - cycle.started_seconds
        self._walks[which] = Walk(took_seconds, cycle.markets)
        self._polled_since_seconds[which] = cycle.started_seconds
        metrics.CYCLE_SECONDS.labels(which.value).set(took_seconds)
        metrics.CYCLE_MARKETS.labels(which.value).set(cycle.markets)
        refusal, self._refusal = self._refusal or None, ""
        log.info(
            "polling cycle finished",
            books=which.value,
            markets=cycle.markets,
            seconds=round(took_seconds, 1),
            refusal=refusal,
        )

    def polling(self) -> list[LivePolling]:
        """Return the achieved polling interval of each class of books."""
        return [self._polling(which) for which in BookClass]

    def _polling(self, which: BookClass) -> LivePolling:
        walk = self._walks.get(which, Walk())
        return LivePolling(
            books=which.value,
            every_seconds=self._intervals_seconds[which],
            took_seconds=walk.seconds,
            markets=walk.markets,
            oldest_seconds=self._oldest_seconds(which),
        )

    def _oldest_seconds(self, which: BookClass) -> float:
        return self._clock() - self._polled_since_seconds[which]


def _with_pauses(tickers: Iterable[str]) -> Iterator[str]:
    """Yield the tickers, letting other greenlets run regularly, however many there are."""
    for number, ticker in enumerate(tickers, start=1):
        yield ticker
        if number % TICKERS_BETWEEN_PAUSES == 0:
            gevent.sleep(PAUSE_SECONDS)


RETRY_SECONDS = 300.0


class RequestShare:
    """Ask for the account's request budget until it is answered, and adopt this process's share of it."""

    def __init__(
        self, client: RestClient, sharers: int, stopping: Stopping, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self.component = Component("request_share", stopping)
        self._client = client
        self._sharers = sharers
        self._stopping = stopping
        self._retry_seconds = retry_seconds

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        while not self.component.tries(self._adopt):
            self._stopping.wait(self._retry_seconds)

    def _adopt(self) -> None:
        adopted: AccountLimits | None = self._client.adopt_account_limits(self._sharers)
        if adopted is not None:
            tokens = adopted.read.limits.tokens_per_second
            log.info("request budget read", tokens_per_second=tokens, shared_by=self._sharers)
