from collections.abc import Callable
from typing import TypeVar

from app.live import LiveBook, LiveConnection, LiveMarket, LivePolling, LiveSubscription, MarketPage, book_of, moment
from app.normal.decimals import contracts, dollars
from app.registry.market import Market
from app.subscriptions.roles import BOOK_CHANNEL
from app.subscriptions.status import ConnectionStatus, SubscriptionStatus
from workers.connection_manager import ConnectionManager
from workers.market_registry import MarketRegistry
from workers.snapshot_poller import SnapshotPoller

Shown = TypeVar("Shown")


class LiveGatherer:
    """What the ops port shows, asked of those who know it."""

    def __init__(self, registry: MarketRegistry, connections: ConnectionManager, poller: SnapshotPoller) -> None:
        self._registry = registry
        self._connections = connections
        self._poller = poller

    def active_markets(self, after: str, limit: int) -> MarketPage:
        page = self._registry.active_page(after or None, limit)
        return MarketPage([_market(market) for market in page], page[-1].ticker if len(page) == limit else None)

    def market(self, ticker: str) -> LiveMarket | None:
        market = self._registry.get_market(ticker)
        return None if market is None else _market(market)

    def connections(self) -> list[LiveConnection]:
        return [_connection(status) for status in self._connections.connections()]

    def subscriptions(self, ticker: str | None = None) -> list[LiveSubscription]:
        conn = None if ticker is None else self._connections.connection_of(ticker)
        found = self._connections.subscriptions()
        return [
            subscription
            for status in found
            if ticker is None or status.conn == conn
            for subscription in _subscriptions(status)
        ]

    def polling(self) -> list[LivePolling]:
        return self._poller.polling()

    def poll_now(self, ticker: str) -> LiveBook:
        return book_of(self._poller.poll_now(ticker))

    def reconcile(self) -> str | None:
        return self._registry.reconcile()


def _market(market: Market) -> LiveMarket:
    return LiveMarket(
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        title=market.title,
        status=market.status,
        trading_status=market.trading_status,
        market_type=market.market_type,
        result=market.result,
        exchange_index=market.exchange_index,
        yes_bid=_if_known(dollars, market.yes_bid_e6),
        yes_ask=_if_known(dollars, market.yes_ask_e6),
        last_price=_if_known(dollars, market.last_price_e6),
        volume=_if_known(contracts, market.volume_e2),
        yes_bid_e6=market.yes_bid_e6,
        yes_ask_e6=market.yes_ask_e6,
        last_price_e6=market.last_price_e6,
        volume_e2=market.volume_e2,
        quoted_at=_if_known(moment, market.quoted_us),
        open_time=_if_known(moment, market.open_us),
        close_time=_if_known(moment, market.close_us),
        expiration_time=_if_known(moment, market.expiration_us),
        updated_time=_if_known(moment, market.updated_us),
    )


def _if_known(shown: Callable[[int], Shown], value: int | None) -> Shown | None:
    return None if value is None else shown(value)


def _connection(status: ConnectionStatus) -> LiveConnection:
    return LiveConnection(
        conn=status.conn,
        role=status.role,
        state=status.state,
        since=moment(status.since_us),
        messages=status.messages,
        age_seconds=None if status.age_ms is None else status.age_ms / 1_000,
        reconnects=status.reconnects,
        in_doubt=status.in_doubt,
    )


def _subscriptions(status: SubscriptionStatus) -> list[LiveSubscription]:
    is_complete = len(status.sids) == len(status.channels)
    sids = status.sids if is_complete else [None] * len(status.channels)
    is_of_books = status.channels == [BOOK_CHANNEL]
    return [
        LiveSubscription(
            conn=status.conn,
            channel=channel,
            sid=sid,
            markets_wanted=status.wanted if is_of_books else 0,
            markets_heard=status.heard if is_of_books else 0,
        )
        for channel, sid in zip(status.channels, sids, strict=True)
    ]
