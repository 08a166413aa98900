"""The exchange's REST endpoints as methods, and the walk over their pages.

Objects come out as raw JSON, in the order of the answer: numbers keep their text until app/normalize decodes them
exactly. Budget, retries and errors are in rest_transport.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Raw

from app.kalshi.errors import NotFoundError, UnexpectedAnswerError
from app.kalshi.request_budget import Priority
from app.kalshi.rest_objects import AccountLimits, ExchangeStatus, HistoricalCutoff
from app.kalshi.rest_transport import RestTransport, Shape
from app.runtime.health import Stopping

BOOKS_PER_CALL = 100
# A content delivery network in front of the exchange refuses addresses above 8,192 bytes.
QUERY_BYTES = 7_000
PARAMETER_BYTES = len("&tickers=")


def ticker_batches(tickers: Iterable[str]) -> Iterator[list[str]]:
    """Yield batches of tickers: as many as one call may name and as fit into its address."""
    batch: list[str] = []
    query_bytes = 0
    for ticker in tickers:
        more_bytes = PARAMETER_BYTES + len(ticker.encode())
        if len(batch) == BOOKS_PER_CALL or (batch and query_bytes + more_bytes > QUERY_BYTES):
            yield batch
            batch, query_bytes = [], 0
        batch.append(ticker)
        query_bytes += more_bytes
    if batch:
        yield batch


# Lists of the exchange. Their objects stay raw JSON, so that numbers keep their text until they are decoded exactly.
#
# A Raw object is a view into its page and keeps the whole page in memory: decode it, or keep a copy of it.


class ObjectsPage(msgspec.Struct, kw_only=True):
    objects: list[Raw] | None
    cursor: str | None = None


class MarketsPage(ObjectsPage):
    objects: list[Raw] | None = msgspec.field(name="markets")


class EventsPage(ObjectsPage):
    objects: list[Raw] | None = msgspec.field(name="events")


class SeriesPage(ObjectsPage):
    objects: list[Raw] | None = msgspec.field(name="series")


class TradesPage(ObjectsPage):
    objects: list[Raw] | None = msgspec.field(name="trades")


class BooksPage(ObjectsPage):
    objects: list[Raw] | None = msgspec.field(name="orderbooks")


def objects_of(fetch: Callable[[str | None], ObjectsPage]) -> Iterator[Raw]:
    """Yield all objects of all pages. The last page's cursor is empty, null or absent."""
    guard = CursorGuard()
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield from page.objects or ()
        cursor = page.cursor
        if not cursor:
            return
        guard.check(cursor)


class CursorGuard:
    """Raise if a walk over pages runs in a circle of any length, while remembering a single cursor.

    It remembers the 1st, 2nd, 4th, 8th, … cursor: once the walk is inside the circle and the steps to the next change
    outnumber the circle's length, the remembered cursor returns (Brent's algorithm).
    """

    def __init__(self) -> None:
        self._remembered: str | None = None
        self._steps = 0
        self._steps_until_change = 1

    def check(self, cursor: str) -> None:
        if cursor == self._remembered:
            raise UnexpectedAnswerError(
                "The pages of an answer repeat.", f"This cursor was returned before: {cursor[:100]}"
            )
        self._steps += 1
        if self._steps == self._steps_until_change:
            self._remembered = cursor
            self._steps_until_change *= 2


MARKETS_PER_PAGE = 1_000
TRADES_PER_PAGE = 1_000
EVENTS_PER_PAGE = 200

MarketFilter = Literal["unopened", "open", "paused", "closed", "settled"]
EventFilter = Literal["unopened", "open", "closed", "settled"]
ComboFilter = Literal["only", "exclude"]
Value = str | int | Sequence[str] | None


class RestClient:
    """The exchange's endpoints for one caller, with its priority and its patience with an unavailable exchange.

    Objects are yielded as they are in the answer, one by one and page by page. A call raises StoppedError if the
    process is asked to stop, and AccessDeniedError if the key is refused: the caller stops, and in the second case
    raises an alarm.
    """

    def __init__(
        self,
        transport: RestTransport,
        priority: Priority,
        patience_seconds: float | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        self._transport = transport
        self._priority = priority
        self._patience_seconds = patience_seconds
        self._stopping = stopping

    def stopped_by(self, stopping: Stopping) -> "RestClient":
        """Return a client like this one for a part of the process that may end before the others."""
        return RestClient(self._transport, self._priority, self._patience_seconds, stopping)

    def exchange_status(self) -> ExchangeStatus:
        return self._transport.status(self._priority, self._patience_seconds, self._stopping)

    def historical_cutoff(self) -> HistoricalCutoff:
        return self._get("/historical/cutoff", HistoricalCutoff)

    def account_limits(self) -> AccountLimits:
        """Return the account's limits. The exchange answers this only with a key."""
        return self._get("/account/limits", AccountLimits)

    def adopt_account_limits(self, processes: int = 1) -> AccountLimits | None:
        """Set the budget to the account's limits, divided by the number of processes that use its key.

        Return None without a key: there is no account then, and the budget stays the lowest tier's.
        """
        if not self._transport.is_signed:
            return None
        limits = self.account_limits()
        self._transport.budget.change(limits.read.limits.shared_by(processes))
        return limits

    def markets(
        self,
        status: MarketFilter | None = None,
        mve_filter: ComboFilter | None = None,
        series_ticker: str | None = None,
        event_ticker: str | None = None,
    ) -> Iterator[Raw]:
        """Yield markets, newest first: markets created during the walk are before the first page, not in later ones."""
        return self._pages(
            "/markets",
            MarketsPage,
            limit=MARKETS_PER_PAGE,
            status=status,
            mve_filter=mve_filter,
            series_ticker=series_ticker,
            event_ticker=event_ticker,
        )

    def markets_updated_since(self, min_updated_ts: int) -> Iterator[Raw]:
        """Yield the markets whose metadata changed, without combos: the exchange accepts no other filter here."""
        return self._pages(
            "/markets", MarketsPage, limit=MARKETS_PER_PAGE, min_updated_ts=min_updated_ts, mve_filter="exclude"
        )

    def markets_created_since(self, min_created_ts: int, mve_filter: ComboFilter) -> Iterator[Raw]:
        return self._pages(
            "/markets", MarketsPage, limit=MARKETS_PER_PAGE, min_created_ts=min_created_ts, mve_filter=mve_filter
        )

    def markets_settled_since(self, min_settled_ts: int, mve_filter: ComboFilter) -> Iterator[Raw]:
        return self._pages(
            "/markets",
            MarketsPage,
            limit=MARKETS_PER_PAGE,
            status="settled",
            min_settled_ts=min_settled_ts,
            mve_filter=mve_filter,
        )

    def named_markets(self, tickers: Iterable[str]) -> Iterator[Raw]:
        """Yield the named markets that the exchange knows, combos included."""
        for batch in ticker_batches(tickers):
            yield from self._pages("/markets", MarketsPage, limit=MARKETS_PER_PAGE, tickers=",".join(batch))

    def market(self, ticker: str) -> Raw | None:
        return self._one(f"/markets/{quote(ticker, safe='')}", "market")

    def order_books(self, tickers: Iterable[str]) -> Iterator[Raw]:
        """Yield {"ticker", "orderbook_fp"} for each ticker. A ticker unknown to the exchange has an empty book."""
        for batch in ticker_batches(tickers):
            yield from self._get("/markets/orderbooks", BooksPage, tickers=batch).objects or ()

    def trades(self, min_ts: int | None = None, max_ts: int | None = None, ticker: str | None = None) -> Iterator[Raw]:
        """Yield trades, newest first. The bounds are seconds."""
        return self._pages(
            "/markets/trades", TradesPage, limit=TRADES_PER_PAGE, min_ts=min_ts, max_ts=max_ts, ticker=ticker
        )

    def historical_trades(
        self, min_ts: int | None = None, max_ts: int | None = None, ticker: str | None = None
    ) -> Iterator[Raw]:
        """Yield trades from before the historical cutoff, which /markets/trades no longer returns."""
        return self._pages(
            "/historical/trades", TradesPage, limit=TRADES_PER_PAGE, min_ts=min_ts, max_ts=max_ts, ticker=ticker
        )

    def events(
        self,
        status: EventFilter | None = None,
        min_updated_ts: int | None = None,
        series_ticker: str | None = None,
        with_nested_markets: bool = False,
    ) -> Iterator[Raw]:
        """Yield events without combos, which are multivariate events."""
        return self._pages(
            "/events",
            EventsPage,
            limit=EVENTS_PER_PAGE,
            status=status,
            min_updated_ts=min_updated_ts,
            series_ticker=series_ticker,
            with_nested_markets="true" if with_nested_markets else None,
        )

    def named_events(self, tickers: Iterable[str]) -> Iterator[Raw]:
        for batch in ticker_batches(tickers):
            yield from self._pages("/events", EventsPage, limit=EVENTS_PER_PAGE, tickers=",".join(batch))

    def event(self, ticker: str) -> Raw | None:
        return self._one(f"/events/{quote(ticker, safe='')}", "event")

    def multivariate_events(self, series_ticker: str | None = None, with_nested_markets: bool = False) -> Iterator[Raw]:
        return self._pages(
            "/events/multivariate",
            EventsPage,
            limit=EVENTS_PER_PAGE,
            series_ticker=series_ticker,
            with_nested_markets="true" if with_nested_markets else None,
        )

    def named_multivariate_events(self, tickers: Iterable[str]) -> Iterator[Raw]:
        for batch in ticker_batches(tickers):
            yield from self._pages("/events/multivariate", EventsPage, limit=EVENTS_PER_PAGE, tickers=",".join(batch))

    def series_list(self, min_updated_ts: int | None = None) -> Iterator[Raw]:
        """Yield all series, from one answer: this endpoint has no pages."""
        yield from self._get("/series", SeriesPage, min_updated_ts=min_updated_ts).objects or ()

    def series(self, ticker: str) -> Raw | None:
        return self._one(f"/series/{quote(ticker, safe='')}", "series")

    def _pages(self, path: str, shape: type[ObjectsPage], **parameters: Value) -> Iterator[Raw]:
        return objects_of(lambda cursor: self._get(path, shape, cursor=cursor, **parameters))

    def _one(self, path: str, key: str) -> Raw | None:
        try:
            return self._member(path, key)
        except NotFoundError:
            return None

    def _member(self, path: str, key: str) -> Raw:
        answer = self._get(path, dict[str, Raw])
        if key not in answer:
            raise UnexpectedAnswerError(f"The answer to {path} has no {key}.")
        return answer[key]

    def _get(self, path: str, shape: type[Shape], **parameters: Value) -> Shape:
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._transport.get(path, given, shape, self._priority, self._patience_seconds, self._stopping)
