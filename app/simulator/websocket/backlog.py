from array import array
from collections import deque
from typing import NamedTuple

from app.simulator.websocket.errors import Code, CommandError
from app.simulator.websocket.hub import Hub
from app.simulator.websocket.outbox import Outgoing
from app.simulator.websocket.subscription import Subscription

LIMIT_MARKETS = 2_000_000


class Order(NamedTuple):
    subscription: Subscription
    markets: "array[int]"
    command_id: int
    joins: bool
    of_books: bool


class Backlog:
    """Snapshots that a client has asked for: made only as fast as it reads, however many they are."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._orders: deque[Order] = deque()  # bounded by _enqueue
        self._place = 0
        self.waiting_markets = 0

    def show_books(
        self, subscription: Subscription, markets: "array[int]", *, joins: bool, command_id: int = 0
    ) -> None:
        self._enqueue(Order(subscription, markets, command_id, joins, of_books=True))

    def show_tickers(self, subscription: Subscription, markets: "array[int]") -> None:
        self._enqueue(Order(subscription, markets, command_id=0, joins=False, of_books=False))

    def serve(self, limit_markets: int) -> None:
        for _ in range(limit_markets):
            if not self._orders:
                return
            order = self._orders[0]
            if self._place < len(order.markets):
                self._serve_one(order, order.markets[self._place])
                self._place += 1
                self.waiting_markets -= 1
            else:
                self._orders.popleft()
                self._place = 0

    def __bool__(self) -> bool:
        return bool(self._orders)

    def _enqueue(self, order: Order) -> None:
        if self.waiting_markets + len(order.markets) > LIMIT_MARKETS:
            raise CommandError(Code.COMMAND_TIMEOUT, order.command_id)
        self.waiting_markets += len(order.markets)
        self._orders.append(order)
        order.subscription.session.outbox.wake()

    def _serve_one(self, order: Order, market: int) -> None:
        subscription = order.subscription
        if not subscription.is_open:
            return
        if not order.of_books:
            message = self._hub.wire.ticker(self._hub.names.of(market), self._hub.exchange.quote(market))
            subscription.session.outbox.put(
                Outgoing(message.payload(subscription.sid, 0, self._hub.stamp()), subscription)
            )
        elif order.joins and market in subscription.markets:
            self._hub.send_snapshot(subscription, market)
            self._hub.listeners(subscription.channel).add(subscription, market)
        elif not order.joins:
            self._hub.send_snapshot(subscription, market, order.command_id)
