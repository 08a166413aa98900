"""From one change of the exchange to everybody who listens to it."""

from app.simulator.blast import Blast
from app.simulator.catalog import Catalog
from app.simulator.changes import Change, Delta, Lifecycle, Ticker, Trade
from app.simulator.clock import Clock
from app.simulator.exchange import Exchange
from app.simulator.frames import Message
from app.simulator.market_names import MarketNames
from app.simulator.websocket.fan_out import FanOut
from app.simulator.websocket.subscription import Subscription
from app.simulator.wire import Wire


class Listeners:
    """Of one channel: those of single markets, and those of everything."""

    def __init__(self) -> None:
        self._by_market: FanOut[Subscription] = FanOut()
        self.to_all: tuple[Subscription, ...] = ()

    def of_market(self, market: int) -> tuple[Subscription, ...]:
        # Never a live view: who reads too slowly leaves while the others are still being told.
        return self.to_all + self._by_market.listeners(market)

    def add(self, subscription: Subscription, market: int | None) -> None:
        if market is None:
            self.to_all = (*self.to_all, subscription)
        else:
            self._by_market.add(market, subscription)

    def remove(self, subscription: Subscription, market: int) -> None:
        self._by_market.remove(market, subscription)

    def forget(self, subscription: Subscription) -> None:
        self.to_all = tuple(other for other in self.to_all if other is not subscription)
        for market in subscription.markets:
            self._by_market.remove(market, subscription)


class Hub:
    def __init__(self, catalog: Catalog, exchange: Exchange, wire: Wire, clock: Clock, *, blasts: bool = False) -> None:
        self.catalog = catalog
        self.names = MarketNames(catalog)
        self.exchange = exchange
        self.wire = wire
        self.blast = Blast(self.names) if blasts else None
        self._clock = clock
        self._listeners: dict[str, Listeners] = {}

    def listeners(self, channel: str) -> Listeners:
        return self._listeners.setdefault(channel, Listeners())

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def stamp(self) -> bytes:
        return self.wire.stamp(self._clock.now_ms())

    def publish(self, change: Change, ordinal: int) -> None:
        if isinstance(change, Delta):
            self._publish_delta(change, ordinal)
        elif isinstance(change, Lifecycle):
            self._publish_lifecycle(change, ordinal)
        else:
            self._publish_quote(change, ordinal)

    def send_snapshot(self, subscription: Subscription, market: int, command_id: int = 0) -> None:
        book = self.exchange.book(market)
        message = self.wire.snapshot(self.names.of(market), book, yes_price=subscription.use_yes_price)
        subscription.deliver_snapshot(message, self.stamp(), (market, book.clock), command_id)

    def _publish_delta(self, change: Delta, ordinal: int) -> None:
        variants: dict[tuple[bool, bool], Message] = {}
        stamp = self.stamp()
        for subscription in self.listeners("orderbook_delta").of_market(change.market):
            variant = (subscription.use_yes_price, subscription.session.tampering.keeps_time(subscription))
            message = variants.get(variant)
            if message is None:
                message = self.wire.delta(self.names.of(change.market), change, yes_price=variant[0], timed=variant[1])
                variants[variant] = message
            subscription.deliver(message, stamp, ordinal)

    def _publish_quote(self, change: Trade | Ticker, ordinal: int) -> None:
        channel = "trade" if isinstance(change, Trade) else "ticker"
        message: Message | None = None
        stamp = self.stamp()
        for subscription in self.listeners(channel).of_market(change.market):
            message = message or self._encode_quote(change)
            subscription.deliver(message, stamp, ordinal)

    def _encode_quote(self, change: Trade | Ticker) -> Message:
        name = self.names.of(change.market)
        return self.wire.trade(name, change) if isinstance(change, Trade) else self.wire.ticker(name, change)

    def _publish_lifecycle(self, change: Lifecycle, ordinal: int) -> None:
        stamp = self.stamp()
        for channel in self.wire.lifecycle_channels(change):
            message = self.wire.lifecycle(change, channel)
            if message is not None:
                for subscription in self.listeners(channel).to_all:
                    subscription.deliver(message, stamp, ordinal)
        if change.event_type == "settled":
            self._show_empty_books(change)

    def _show_empty_books(self, change: Lifecycle) -> None:
        """The exchange does so when a market has settled, with the running seq and nobody asking."""
        market = self.catalog.index_of(change.ticker)
        if market is not None:
            for subscription in self.listeners("orderbook_delta").of_market(market):
                self.send_snapshot(subscription, market)
