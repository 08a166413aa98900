from collections.abc import Iterable, Iterator, Sequence
from typing import Literal
from urllib.parse import quote

from msgspec import Raw

from app.kalshi.account_limits import AccountLimits
from app.kalshi.batches import candle_spans, ticker_batches
from app.kalshi.exchange_status import ExchangeStatus
from app.kalshi.historical_cutoff import HistoricalCutoff
from app.kalshi.pages import Candlesticks, Events, Markets, OrderBooks, Page, SeriesList, Trades, objects_of
from app.kalshi.rest_errors import NotFoundError, UnexpectedAnswerError
from app.kalshi.rest_transport import RestTransport, Shape
from app.kalshi.waiting_line import Priority
from app.stopping import Stopping

MARKETS_PER_PAGE = 1_000
TRADES_PER_PAGE = 1_000
EVENTS_PER_PAGE = 200

MarketFilter = Literal["unopened", "open", "paused", "closed", "settled"]
EventFilter = Literal["unopened", "open", "closed", "settled"]
ComboFilter = Literal["only", "exclude"]
Value = str | int | Sequence[str] | None


class RestClient:
    """The exchange's endpoints for one caller: its priority, and how long it waits for an exchange that is away.

    Objects come as they are in the answer, one by one and page by page. A call ends with a StoppedError when we are
    asked to stop, and with an AccessDeniedError when the key is refused: the caller stops, and in that case alarms.
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
        """Return the same for a part of the process that may end before the others."""
        return RestClient(self._transport, self._priority, self._patience_seconds, stopping)

    def exchange_status(self) -> ExchangeStatus:
        return self._transport.status(self._priority, self._patience_seconds, self._stopping)

    def exchange_schedule(self) -> Raw:
        return self._member("/exchange/schedule", "schedule")

    def historical_cutoff(self) -> HistoricalCutoff:
        return self._get("/historical/cutoff", HistoricalCutoff)

    def account_limits(self) -> AccountLimits:
        """Only with a key."""
        return self._get("/account/limits", AccountLimits)

    def adopt_account_limits(self, processes: int = 1) -> AccountLimits | None:
        """From now on the budget is the account's, or this one's part of it where several processes use its key.
        Without a key there is no account: the budget stays the lowest tier's."""
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
        """Newest first: those created meanwhile are before the first page, not in what follows."""
        return self._pages(
            "/markets",
            Markets,
            limit=MARKETS_PER_PAGE,
            status=status,
            mve_filter=mve_filter,
            series_ticker=series_ticker,
            event_ticker=event_ticker,
        )

    def markets_updated_since(self, min_updated_ts: int) -> Iterator[Raw]:
        """Those whose metadata changed. Without combos: the exchange takes this filter in no other company."""
        return self._pages(
            "/markets", Markets, limit=MARKETS_PER_PAGE, min_updated_ts=min_updated_ts, mve_filter="exclude"
        )

    def markets_created_since(self, min_created_ts: int, mve_filter: ComboFilter) -> Iterator[Raw]:
        return self._pages(
            "/markets", Markets, limit=MARKETS_PER_PAGE, min_created_ts=min_created_ts, mve_filter=mve_filter
        )

    def markets_settled_since(self, min_settled_ts: int, mve_filter: ComboFilter) -> Iterator[Raw]:
        return self._pages(
            "/markets",
            Markets,
            limit=MARKETS_PER_PAGE,
            status="settled",
            min_settled_ts=min_settled_ts,
            mve_filter=mve_filter,
        )

    def named_markets(self, tickers: Iterable[str]) -> Iterator[Raw]:
        """Of these, those that the exchange knows, combos among them."""
        for batch in ticker_batches(tickers):
            yield from self._pages("/markets", Markets, limit=MARKETS_PER_PAGE, tickers=",".join(batch))

    def market(self, ticker: str) -> Raw | None:
        return self._one(f"/markets/{quote(ticker, safe='')}", "market")

    def order_books(self, tickers: Iterable[str]) -> Iterator[Raw]:
        """{"ticker", "orderbook_fp"} of each. A ticker that the exchange does not know has an empty book."""
        for batch in ticker_batches(tickers):
            yield from self._get("/markets/orderbooks", OrderBooks, tickers=batch).objects or ()

    def trades(self, min_ts: int | None = None, max_ts: int | None = None, ticker: str | None = None) -> Iterator[Raw]:
        """Newest first. Bounds are seconds."""
        return self._pages(
            "/markets/trades", Trades, limit=TRADES_PER_PAGE, min_ts=min_ts, max_ts=max_ts, ticker=ticker
        )

    def historical_trades(
        self, min_ts: int | None = None, max_ts: int | None = None, ticker: str | None = None
    ) -> Iterator[Raw]:
        """Those from before the historical cutoff, which are no longer among the others."""
        return self._pages(
            "/historical/trades", Trades, limit=TRADES_PER_PAGE, min_ts=min_ts, max_ts=max_ts, ticker=ticker
        )

    def events(
        self,
        status: EventFilter | None = None,
        min_updated_ts: int | None = None,
        series_ticker: str | None = None,
        with_nested_markets: bool = False,
    ) -> Iterator[Raw]:
        """Never combos: those are multivariate events."""
        return self._pages(
            "/events",
            Events,
            limit=EVENTS_PER_PAGE,
            status=status,
            min_updated_ts=min_updated_ts,
            series_ticker=series_ticker,
            with_nested_markets="true" if with_nested_markets else None,
        )

    def named_events(self, tickers: Iterable[str]) -> Iterator[Raw]:
        for batch in ticker_batches(tickers):
            yield from self._pages("/events", Events, limit=EVENTS_PER_PAGE, tickers=",".join(batch))

    def event(self, ticker: str) -> Raw | None:
        return self._one(f"/events/{quote(ticker, safe='')}", "event")

    def multivariate_events(self, series_ticker: str | None = None, with_nested_markets: bool = False) -> Iterator[Raw]:
        return self._pages(
            "/events/multivariate",
            Events,
            limit=EVENTS_PER_PAGE,
            series_ticker=series_ticker,
            with_nested_markets="true" if with_nested_markets else None,
        )

    def named_multivariate_events(self, tickers: Iterable[str]) -> Iterator[Raw]:
        for batch in ticker_batches(tickers):
            yield from self._pages("/events/multivariate", Events, limit=EVENTS_PER_PAGE, tickers=",".join(batch))

    def series_list(self, min_updated_ts: int | None = None) -> Iterator[Raw]:
        """All series in one answer: this endpoint has no pages."""
        yield from self._get("/series", SeriesList, min_updated_ts=min_updated_ts).objects or ()

    def series(self, ticker: str) -> Raw | None:
        return self._one(f"/series/{quote(ticker, safe='')}", "series")

    def candlesticks(
        self, series_ticker: str, ticker: str, start_ts: int, end_ts: int, period_minutes: Literal[1, 60, 1440]
    ) -> Iterator[Raw]:
        path = f"/series/{quote(series_ticker, safe='')}/markets/{quote(ticker, safe='')}/candlesticks"
        for start, end in candle_spans(start_ts, end_ts, period_minutes * 60):
            yield from (
                self._get(path, Candlesticks, start_ts=start, end_ts=end, period_interval=period_minutes).objects or ()
            )

    def _pages(self, path: str, shape: type[Page], **parameters: Value) -> Iterator[Raw]:
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
