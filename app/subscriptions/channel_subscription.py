"""Keep the exchange-wide channels (tickers, trades, lifecycle) of one connection subscribed.

In: the exchange's messages. Out: commands and journal entries. The exchange cannot be asked to repeat these messages,
so each loss is a gap, which REST or another connection may fill.
"""

from app.kalshi.messages import (
    Error,
    Message,
    Ok,
    Subscribed,
    SubscriptionEntry,
    SubscriptionList,
    Unknown,
    Unsubscribed,
)
from app.metrics import gatherer as metrics
from app.normalize.stream import SequenceGap
from app.runtime import logs
from app.runtime.backoff import SECOND_US
from app.subscriptions import roles as codes
from app.subscriptions.book_requests import UNREADABLE
from app.subscriptions.commands import CommandKind, Commands, command_backoff
from app.subscriptions.interface import GapControl
from app.subscriptions.journal import ALL_MARKETS, ALL_SUBSCRIPTIONS, WHOLE_EXCHANGE, Gap, Journal
from app.subscriptions.roles import EARLIER_NAMES, NEWER_CHANNELS, SocketRole

UNKNOWN_US = 300 * SECOND_US


class Channel:
    """One channel of a connection, over all of its sockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid: int | None = None
        self.is_wanted = True  # False if this exchange predates the channel
        self._names: tuple[str, ...] = (name, *EARLIER_NAMES.get(name, ()))
        self._name_index = 0  # index of the name that is asked for
        self._unknown_in_row = 0
        self.has_begun = False
        self.gap: Gap | None = None
        self.received_until_us = 0
        self.subscribe_from_us = 0  # a subscription that ends as soon as it begins is not requested again immediately

    @property
    def name_to_request(self) -> str:
        """Return the name to subscribe to: an older exchange may use an earlier name of the channel."""
        return self._names[self._name_index]

    def is_called(self, name: str) -> bool:
        return name in self._names

    def try_next_name(self, now_us: int) -> bool:
        """Note that the exchange does not know the name, and go on to the next name.

        Return True if it knows none of the names; the channel is then requested again after a while.
        """
        self._name_index = (self._name_index + 1) % len(self._names)
        self._unknown_in_row += 1
        if self._unknown_in_row < len(self._names):
            return False
        self._unknown_in_row = 0
        self.subscribe_from_us = now_us + UNKNOWN_US
        return True

    def subscribed(self, sid: int, begins_us: int, now_us: int) -> None:
        """Note the subscription. `begins_us` is in the exchange's time, `now_us` by the steady clock."""
        self.sid, self.received_until_us, self.is_wanted = sid, begins_us, True
        self.subscribe_from_us = now_us + SECOND_US
        self._unknown_in_row = 0


log = logs.get(__name__)

# An ended quiet channel is declared a gap since the last list, so a short interval keeps gaps short. Six sockets ask.
LIST_US = 40 * SECOND_US


class ChannelSubscription:
    """Channels that carry all markets. Messages that they lose cannot be requested again on the socket."""

    def __init__(self, journal: Journal, role: SocketRole) -> None:
        self.must_reconnect: str | None = None
        self._journal = journal
        self._role = role
        self._channels = [Channel(name) for name in role.channels]
        self._commands = Commands()
        self._backoff = command_backoff()
        self._stream: GapControl | None = None
        self._list_us = 0
        self._extra_sids: list[int] = []  # of channels that were granted twice, since an answer was late
        self._now_us = 0  # by the steady clock

    @property
    def sids(self) -> list[int]:
        return [channel.sid for channel in self._channels if channel.sid is not None]

    @property
    def wanted(self) -> int:
        return sum(channel.is_wanted for channel in self._channels)

    @property
    def received(self) -> int:
        return len(self.sids)

    @property
    def in_doubt(self) -> int:
        return sum(channel.gap is not None for channel in self._channels)

    def channels(self) -> dict[str, bool]:
        """Return whether each wanted channel is subscribed to."""
        return {channel.name: channel.sid is not None for channel in self._channels if channel.is_wanted}

    def opened(self, stream: GapControl, now_us: int) -> None:
        self._stream, self._now_us = stream, now_us
        self.must_reconnect = None
        self._backoff = command_backoff()
        self._list_us = now_us + LIST_US

    def closed(self, last_sign_us: int) -> None:
        self._stream = None
        self._commands.forget()
        self._extra_sids.clear()
        for channel in self._channels:
            channel.subscribe_from_us = 0
            # Not the time of the last ping: the exchange may stall and still send pings.
            self._open_gap(channel, "disconnected", ALL_SUBSCRIPTIONS, min(channel.received_until_us, last_sign_us))

    def note_received(self, sid: int, until_us: int) -> None:
        channel = self._channel_of(sid)
        if channel is not None:
            channel.received_until_us = until_us

    def note_gap(self, gap: SequenceGap, now_us: int) -> None:
        self._write_loss(gap.sid, "sequence", max(gap.missing, 0), now_us)

    def handle(self, message: Message, received_us: int) -> bool:
        match message:
            case Subscribed():
                self._commands.answered(message.id)
                self._subscribed(message.msg, received_us)
            case Unsubscribed() if message.sid is not None:
                self._commands.answered(message.id)
                self._subscription_ended(message.sid, "unsubscribed")
            case Ok() | SubscriptionList():
                self._listed(message, received_us)
            case Error():
                self._error(message, self._now_us)
            case Unknown() if message.may_be_one_of(self._role.message_types):
                for sid in self.sids if message.sid is None else [message.sid]:
                    self._write_loss(sid, UNREADABLE, 1, received_us)
                return False
            case _:
                return False
        return True

    def request_books(self, tickers: list[str]) -> None:
        """Do nothing: there are no books here."""

    def commands(self, now_us: int) -> list[bytes]:
        self._now_us = now_us
        for _ in self._commands.overdue(now_us):
            continue  # channels that are still to be subscribed to are found below
        if self._stream is None or self._backoff.lasts(now_us):
            return []
        due = [channel for channel in self._channels if self._is_due(channel, now_us)]
        commands = [self._commands.subscribe(channel.name_to_request, now_us) for channel in due]
        commands += [self._commands.unsubscribe(sid, now_us) for sid in self._extra_sids]
        self._extra_sids.clear()
        if now_us >= self._list_us and self.sids:
            self._list_us = now_us + LIST_US
            commands.append(self._commands.list_subscriptions(None, now_us))
        return commands

    def _is_due(self, channel: Channel, now_us: int) -> bool:
        if channel.sid is not None or now_us < channel.subscribe_from_us:
            return False
        return not self._commands.waits_for_channel(channel.name_to_request)

    def _has_subscribed(self, name: str) -> bool:
        return any(channel.is_called(name) and channel.sid is not None for channel in self._channels)

    def _channel_of(self, sid: int | None) -> Channel | None:
        return next((channel for channel in self._channels if channel.sid == sid is not None), None)

    def _subscribed(self, subscription: SubscriptionEntry, now_us: int) -> None:
        self._backoff.succeeded()
        for channel in self._channels:
            if not channel.is_called(subscription.channel):
                continue
            if channel.sid is None:
                channel.subscribed(subscription.sid, now_us, self._now_us)
                self._begin_receiving(channel, now_us)
            elif channel.sid != subscription.sid:
                self._extra_sids.append(subscription.sid)

    def _begin_receiving(self, channel: Channel, now_us: int) -> None:
        """Note that the channel is received from now on, and close its gap."""
        if not channel.has_begun:
            channel.has_begun = True
            self._journal.began(channel.name, WHOLE_EXCHANGE, now_us)
        if channel.gap is not None:
            self._journal.close_gap(channel.gap, now_us)
            channel.gap = None

    def _listed(self, message: Ok | SubscriptionList, now_us: int) -> None:
        """Compare the exchange's list with ours: a subscription whose end was announced and lost is not in it."""
        command = self._commands.answered(message.id)
        listed = message.subscriptions if isinstance(message, SubscriptionList) else message.msg
        if command is None or command.kind is not CommandKind.LIST or not isinstance(listed, list):
            return
        sids = set(self.sids)
        self._extra_sids.extend(
            each.sid for each in listed if each.sid not in sids and self._has_subscribed(each.channel)
        )
        for channel in self._channels:
            if channel.sid is not None and channel.sid not in {each.sid for each in listed}:
                self._subscription_ended(channel.sid, "unsubscribed")
            elif channel.sid is not None:
                channel.received_until_us = max(channel.received_until_us, self._journal.complete_until_us(now_us))

    def _error(self, message: Error, now_us: int) -> None:
        code, command = message.msg.code, self._commands.answered(message.id)
        metrics.REFUSED_COMMANDS.labels(code).inc()
        log.warning("command refused by the exchange", conn=self._journal.conn, code=code, said=message.msg.msg)
        if code in codes.CAUSES:
            for sid in self.sids if message.sid is None else [message.sid]:
                self._subscription_ended(sid, codes.CAUSES[code])
        elif code == codes.ALREADY_SUBSCRIBED and command is not None and self._has_subscribed(command.channel):
            pass  # the request was repeated for lack of an answer, and the first one was granted late
        elif code in (codes.AUTHENTICATION_REQUIRED, codes.ALREADY_SUBSCRIBED):
            self.must_reconnect = message.msg.msg
        else:
            self._backoff.failed_at(now_us)
            if code == codes.UNKNOWN_CHANNEL and command is not None:
                self._unknown_channel(command.channel, message, now_us)

    def _unknown_channel(self, name: str, message: Error, now_us: int) -> None:
        for channel in self._channels:
            if channel.is_called(name) and channel.try_next_name(now_us):
                # The current exchange sends a sending time in every message; an older one does not have the newer
                # channels.
                channel.is_wanted = channel.name not in NEWER_CHANNELS or message.sending_ts_ms is not None
                log.error(
                    "channel unknown to the exchange: retrying later",
                    channel=channel.name,
                    seconds=UNKNOWN_US // SECOND_US,
                    is_wanted=channel.is_wanted,
                )

    def _write_loss(self, sid: int, cause: str, missing: int, now_us: int) -> None:
        """Record a gap for lost messages of a subscription that continues."""
        channel = self._channel_of(sid)
        if channel is not None:
            gap = self._journal.open_gap(
                channel.name, cause, channel.received_until_us, sid=sid, markets=ALL_MARKETS, missing=missing
            )
            self._journal.close_gap(gap, now_us)

    def _subscription_ended(self, sid: int, cause: str) -> None:
        channel = self._channel_of(sid)
        if channel is not None:
            if self._stream is not None:
                self._stream.forget(sid)
            self._open_gap(channel, cause, sid, channel.received_until_us)

    def _open_gap(self, channel: Channel, cause: str, sid: int, started_us: int) -> None:
        channel.sid = None
        if channel.has_begun and channel.gap is None:
            channel.gap = self._journal.open_gap(channel.name, cause, started_us, sid=sid, markets=ALL_MARKETS)
