"""A gatherer's live state with so many markets, as values."""

import bisect

from app.kalshi.errors import AccessDeniedError, NotFoundError
from app.normalize.snapshots import rest_snapshot_row
from app.ops.live import (
    BusyError,
    LiveConnection,
    LiveMarket,
    LivePolling,
    LiveSubscription,
    MarketPage,
    NoBookError,
    book_of,
    moment,
)

BEGAN_US = 1_700_000_000_000_000
REFUSALS = {
    "KX-000002": BusyError("100 wait for a book already."),
    "KX-000003": AccessDeniedError("The exchange answered /markets/orderbooks with 401: who are you?"),
    "KX-000005": NoBookError("KX-000005 is not an active market."),
    "KX-000004": NotFoundError("The exchange answered /markets/orderbooks with 404: no such market"),
}


class LiveMarkets:
    def __init__(self, count):
        self._tickers = [f"KX-{number:06}" for number in range(count)]

    def active_markets(self, after, limit):
        first = bisect.bisect_right(self._tickers, after)
        tickers = self._tickers[first : first + limit]
        is_last = first + limit >= len(self._tickers)
        return MarketPage([self._view(ticker) for ticker in tickers], None if is_last else tickers[-1])

    def market(self, ticker):
        place = bisect.bisect_left(self._tickers, ticker)
        return self._view(ticker) if self._tickers[place : place + 1] == [ticker] else None

    def connections(self):
        return [
            LiveConnection(
                conn=7,
                role="orderbook_delta",
                state="open",
                since=moment(BEGAN_US),
                wanted=9,
                received=8,
                messages=12,
                age_seconds=0.25,
                reconnects=1,
                in_doubt=0,
            )
        ]

    def subscriptions(self, ticker=None):
        if ticker is None:
            return [self._subscription(7), self._subscription(8)]
        return [] if self.market(ticker) is None else [self._subscription(8)]

    def polling(self):
        return [LivePolling(books="two-sided", every_seconds=60, took_seconds=61.5, markets=30_000, oldest_seconds=80)]

    def poll_now(self, ticker):
        if ticker in REFUSALS:
            raise REFUSALS[ticker]
        levels = b'{"yes_dollars": [["0.4200", "10.00"]], "no_dollars": []}'
        return book_of(rest_snapshot_row(b'{"ticker": "%b", "orderbook_fp": %b}' % (ticker.encode(), levels), BEGAN_US))

    def reconcile(self):
        """There is nothing to compare them with."""

    def _view(self, ticker):
        return LiveMarket(
            ticker=ticker,
            event_ticker="KX",
            title="Will it rain?",
            status="active",
            trading_status="trading",
            market_type="binary",
            result="",
            yes_bid="0.420000",
            yes_bid_e6=420_000,
            volume="12.50",
            volume_e2=1_250,
            quoted_at=moment(BEGAN_US),
            close_time=moment(BEGAN_US + 500_000),
        )

    def _subscription(self, conn):
        return LiveSubscription(conn=conn, channel="orderbook_delta", sid=1, markets_wanted=9, markets_heard=8)
