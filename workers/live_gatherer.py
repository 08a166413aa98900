from app.live import LiveBook, LiveConnection, LiveMarket, LivePolling, LiveSubscription, MarketPage, book_of, moment
from app.registry.market import Market
from app.subscriptions.roles import BOOK_CHANNEL
from app.subscriptions.status import ConnectionStatus, SubscriptionStatus
from workers.connection_manager import ConnectionManager
from workers.market_registry import MarketRegistry
from workers.snapshot_poller import SnapshotPoller


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
        market, is_known = self._registry.get_market(ticker)
        return _market(market) if is_known and market else None

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
    moments = (market.open_us, market.close_us, market.expiration_us, market.updated_us)
    opens, closes, expires, updated = (None if moment_us is None else moment(moment_us) for moment_us in moments)
    return LiveMarket(
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        status=market.status,
        market_type=market.market_type,
        result=market.result,
        exchange_index=market.exchange_index,
        open_time=opens,
        close_time=closes,
        expiration_time=expires,
        updated_time=updated,
    )


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
