"""The effects of a session's commands, and the answers to them."""

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.simulator.websocket.commands import (
    MARKET_CHANNELS,
    TEXTS,
    Code,
    Command,
    CommandError,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    Update,
    parse,
)
from app.simulator.websocket.hub import Hub
from app.simulator.websocket.subscription import SimSubscription

if TYPE_CHECKING:
    from app.simulator.websocket.session import SimSession


class Responder:
    """The executor of one session's commands; it assigns the sids."""

    def __init__(self, session: "SimSession", hub: Hub) -> None:
        self._session = session
        self._hub = hub
        self._next_sid = 1

    def respond(self, text: bytes) -> None:
        try:
            self._session.spend_command()
            self._execute(parse(text, self._hub.wire.channels))
        except CommandError as error:
            self._answer(error.command_id, {"type": "error", "msg": {"code": error.code, "msg": TEXTS[error.code]}})

    def _execute(self, command: Command) -> None:
        match command:
            case Subscribe():
                self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case Update():
                self._update(command)
            case ListSubscriptions():
                self._list(command)

    def _subscribe(self, command: Subscribe) -> None:
        markets = self._markets(command.params.tickers(), command.params.market_numbers())
        self._check_room(command.command_id, len(markets) if "orderbook_delta" in command.channels else 0)
        for channel in command.channels:
            subscription = self._session.subscription_to(channel)
            if subscription is not None and self._hub.wire.refuses_repetition:
                raise CommandError(Code.ALREADY_SUBSCRIBED, command.command_id)
            if subscription is None:
                subscription = self._open(command, channel)
            self._answer(
                command.command_id, {"type": "subscribed", "msg": {"channel": channel, "sid": subscription.sid}}
            )
            if not subscription.listens_to_all:
                self._add(subscription, markets, with_ticker=command.params.send_initial_snapshot)

    def _open(self, command: Subscribe, channel: str) -> SimSubscription:
        params = command.params
        named = bool(params.tickers() or params.market_numbers())
        subscription = SimSubscription(
            self._session,
            self._next_sid,
            channel,
            listens_to_all=not (named and channel in MARKET_CHANNELS),
            skip_ack=params.skip_ticker_ack,
            yes_price=params.use_yes_price and channel == "orderbook_delta",
        )
        self._next_sid += 1
        self._session.subscriptions[subscription.sid] = subscription
        if subscription.listens_to_all:
            self._hub.listeners(channel).add(subscription, None)
        return subscription

    def _add(self, subscription: SimSubscription, markets: Iterable[int], *, with_ticker: bool) -> None:
        added = array("I", [market for market in markets if subscription.markets.add(market)])
        if subscription.channel == "orderbook_delta":
            # Each market joins the stream at the moment of its snapshot, so that no change is lost between the two.
            self._session.backlog.show_books(subscription, added, joins=True)
            return
        for market in added:
            self._hub.listeners(subscription.channel).add(subscription, market)
        if with_ticker and subscription.channel == "ticker":
            self._session.backlog.show_tickers(subscription, added)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        for sid in command.sids:
            if sid not in self._session.subscriptions:
                raise CommandError(Code.UNKNOWN_SID, command.command_id)
        for sid in dict.fromkeys(command.sids):
            subscription = self._session.subscriptions[sid]
            self._session.drop(subscription)
            self._answer(command.command_id, {"type": "unsubscribed", "sid": sid, "seq": subscription.next_seq()})

    def _update(self, command: Update) -> None:
        subscription = self._session.subscriptions.get(command.sid)
        if subscription is None:
            raise CommandError(Code.UNKNOWN_SID, command.command_id)
        self._check_action(command, subscription)
        markets = self._markets(command.params.tickers(), command.params.market_numbers())
        if command.action == "get_snapshot":
            self._session.backlog.show_books(subscription, markets, joins=False, command_id=command.command_id)
            return
        if command.action == "add_markets":
            if subscription.channel == "orderbook_delta":
                self._check_room(command.command_id, sum(market not in subscription.markets for market in set(markets)))
            self._add(subscription, markets, with_ticker=command.params.send_initial_snapshot)
        else:
            for market in markets:
                if subscription.markets.discard(market):
                    self._hub.listeners(subscription.channel).remove(subscription, market)
        self._acknowledge(command, subscription)

    def _check_action(self, command: Update, subscription: SimSubscription) -> None:
        if command.action == "get_snapshot" and subscription.channel != "orderbook_delta":
            raise CommandError(Code.UNSUPPORTED_ACTION, command.command_id)
        if subscription.channel not in MARKET_CHANNELS or subscription.listens_to_all:
            raise CommandError(Code.UNSUPPORTED_ACTION, command.command_id)
        if command.params.market_numbers() and subscription.channel != "ticker":
            raise CommandError(Code.INVALID_PARAMETER, command.command_id)

    def _acknowledge(self, command: Update, subscription: SimSubscription) -> None:
        answer: dict[str, object] = {"type": "ok", "sid": subscription.sid, "seq": subscription.next_seq()}
        if not subscription.skip_ticker_ack:
            by_number = bool(command.params.market_numbers())
            listed = [self._hub.names.of(market) for market in subscription.markets]
            names = [name.market_id if by_number else name.ticker for name in listed]
            answer |= self._hub.wire.market_list("market_ids" if by_number else "market_tickers", names)
        self._answer(command.command_id, answer)

    def _list(self, command: ListSubscriptions) -> None:
        listed = [{"channel": open_.channel, "sid": open_.sid} for open_ in self._session.subscriptions.values()]
        self._answer(command.command_id, self._hub.wire.subscription_list(listed))

    def _markets(self, tickers: list[str], market_ids: list[str]) -> "array[int]":
        """Return the numbers of the markets.

        Unknown ones are ignored, as on the exchange: no error, and no messages.
        """
        catalog = self._hub.catalog
        found = [catalog.index_of(ticker) for ticker in tickers] if tickers else map(catalog.index_of_id, market_ids)
        return array("I", [market for market in found if market is not None])

    def _check_room(self, command_id: int, added: int) -> None:
        if added and self._session.book_markets() + added > self._session.limits.markets_per_session:
            raise CommandError(Code.MARKET_LIMIT_EXCEEDED, command_id)

    def _answer(self, command_id: int, answer: dict[str, object]) -> None:
        self._session.answer(command_id, answer)
