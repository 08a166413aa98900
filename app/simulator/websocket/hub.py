"""The distribution of each change to all subscriptions that it concerns.

In: changes with their ordinals. Out: encoded messages in the subscriptions' outboxes. A message is encoded once per
variant, however many subscriptions receive it.
"""

from array import array
from typing import Generic, Protocol, TypeVar

from app.simulator.blast import Blast
from app.simulator.market.catalog import Catalog, MarketName, MarketNames
from app.simulator.market.changes import Change, SimBook, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.market.exchange import Exchange
from app.simulator.runtime import Clock
from app.simulator.websocket.dollar_frames import Message
from app.simulator.websocket.subscription import SimSubscription

Subscriber = TypeVar("Subscriber")


class FanOut(Generic[Subscriber]):
    """The subscribers of each market, in four bytes a market: markets with the same subscribers share one group.

    Millions of subscriptions form few different groups, because clients subscribe to long runs of markets.
    """

    def __init__(self) -> None:
        self._group_of = array("I")
        self._groups: list[tuple[Subscriber, ...]] = [()]
        self._populations = [0]
        self._number_of: dict[tuple[Subscriber, ...], int] = {(): 0}
        self._free: list[int] = []

    def listeners(self, market: int) -> tuple[Subscriber, ...]:
        return self._groups[self._group_of[market]] if market < len(self._group_of) else ()

    def add(self, market: int, subscriber: Subscriber) -> None:
        listeners = self.listeners(market)
        if subscriber not in listeners:
            self._move(market, (*listeners, subscriber))

    def remove(self, market: int, subscriber: Subscriber) -> None:
        listeners = self.listeners(market)
        if subscriber in listeners:
            self._move(market, tuple(other for other in listeners if other is not subscriber))

    @property
    def group_count(self) -> int:
        return len(self._number_of)

    def _move(self, market: int, listeners: tuple[Subscriber, ...]) -> None:
        if market >= len(self._group_of):
            self._group_of.extend([0] * (max(market + 1, len(self._group_of) * 5 // 4) - len(self._group_of)))
        number = self._number_of.get(listeners)
        if number is None:
            number = self._new_group(listeners)
        self._leave(self._group_of[market])
        self._group_of[market] = number
        self._populations[number] += 1

    def _new_group(self, listeners: tuple[Subscriber, ...]) -> int:
        if self._free:
            number = self._free.pop()
            self._groups[number] = listeners
        else:
            number = len(self._groups)
            self._groups.append(listeners)
            self._populations.append(0)
        self._number_of[listeners] = number
        return number

    def _leave(self, number: int) -> None:
        # Group 0 is the empty one: its members are not counted, and it is never removed.
        if number == 0:
            return
        self._populations[number] -= 1
        if self._populations[number] == 0:
            del self._number_of[self._groups[number]]
            self._groups[number] = ()
            self._free.append(number)


class Wire(Protocol):
    """One era of the exchange's WebSocket: its channels and the form of its messages."""

    @property
    def channels(self) -> frozenset[str]: ...

    @property
    def refuses_repetition(self) -> bool:
        """Return True if a second subscription to a channel is an error."""

    def stamp(self, now_ms: int) -> bytes: ...

    def market_list(self, key: str, names: list[str]) -> dict[str, object]: ...

    def subscription_list(self, listed: list[dict[str, object]]) -> dict[str, object]: ...

    def delta(self, name: MarketName, change: SimDelta, *, yes_price: bool, timed: bool) -> Message: ...

    def snapshot(self, name: MarketName, book: SimBook, *, yes_price: bool) -> Message: ...

    def trade(self, name: MarketName, change: SimTrade) -> Message: ...

    def ticker(self, name: MarketName, change: SimTicker) -> Message: ...

    def lifecycle_channels(self, change: SimLifecycle) -> tuple[str, ...]: ...

    def lifecycle(self, change: SimLifecycle, channel: str) -> Message | None:
        """Return the message, or None if this era does not announce the change."""


class Listeners:
    """The subscriptions of one channel, to single markets and to everything."""

    def __init__(self) -> None:
        self._by_market: FanOut[SimSubscription] = FanOut()
        self.to_all: tuple[SimSubscription, ...] = ()

    def of_market(self, market: int) -> tuple[SimSubscription, ...]:
        # A new tuple, never a live view: a slow subscription may be removed while the others are still served.
        return self.to_all + self._by_market.listeners(market)

    def add(self, subscription: SimSubscription, market: int | None) -> None:
        if market is None:
            self.to_all = (*self.to_all, subscription)
        else:
            self._by_market.add(market, subscription)

    def remove(self, subscription: SimSubscription, market: int) -> None:
        self._by_market.remove(market, subscription)

    def forget(self, subscription: SimSubscription) -> None:
        self.to_all = tuple(other for other in self.to_all if other is not subscription)
        for market in subscription.markets:
            self._by_market.remove(market, subscription)


class Hub:
    """The present subscriptions, and the distribution of changes and snapshots to them."""

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
        if isinstance(change, SimDelta):
            self._publish_delta(change, ordinal)
        elif isinstance(change, SimLifecycle):
            self._publish_lifecycle(change, ordinal)
        else:
            self._publish_quote(change, ordinal)

    def send_snapshot(self, subscription: SimSubscription, market: int, command_id: int = 0) -> None:
        book = self.exchange.book(market)
        message = self.wire.snapshot(self.names.of(market), book, yes_price=subscription.use_yes_price)
        subscription.deliver_snapshot(message, self.stamp(), (market, book.clock), command_id)

    def _publish_delta(self, change: SimDelta, ordinal: int) -> None:
        variants: dict[tuple[bool, bool], Message] = {}
        stamp = self.stamp()
        for subscription in self.listeners("orderbook_delta").of_market(change.market):
            variant = (subscription.use_yes_price, subscription.session.tampering.keeps_time(subscription))
            message = variants.get(variant)
            if message is None:
                message = self.wire.delta(self.names.of(change.market), change, yes_price=variant[0], timed=variant[1])
                variants[variant] = message
            subscription.deliver(message, stamp, ordinal)

    def _publish_quote(self, change: SimTrade | SimTicker, ordinal: int) -> None:
        channel = "trade" if isinstance(change, SimTrade) else "ticker"
        message: Message | None = None
        stamp = self.stamp()
        for subscription in self.listeners(channel).of_market(change.market):
            message = message or self._encode_quote(change)
            subscription.deliver(message, stamp, ordinal)

    def _encode_quote(self, change: SimTrade | SimTicker) -> Message:
        name = self.names.of(change.market)
        return self.wire.trade(name, change) if isinstance(change, SimTrade) else self.wire.ticker(name, change)

    def _publish_lifecycle(self, change: SimLifecycle, ordinal: int) -> None:
        stamp = self.stamp()
        for channel in self.wire.lifecycle_channels(change):
            message = self.wire.lifecycle(change, channel)
            if message is not None:
                for subscription in self.listeners(channel).to_all:
                    subscription.deliver(message, stamp, ordinal)
        if change.event_type == "settled":
            self.show_empty_books(change.ticker)

    def show_empty_books(self, ticker: str) -> None:
        """Send the empty book of a market that is over, as the exchange does, unrequested and with the running seq."""
        market = self.catalog.index_of(ticker)
        if market is not None:
            for subscription in self.listeners("orderbook_delta").of_market(market):
                self.send_snapshot(subscription, market)
