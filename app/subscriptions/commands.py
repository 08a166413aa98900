"""Encode commands to the exchange, and track which ones it has not answered yet."""

from collections.abc import Iterable
from enum import Enum
from itertools import count
from typing import NamedTuple

import msgspec

from app.metrics import gatherer as metrics
from app.runtime.backoff import Backoff
from app.subscriptions.roles import BOOK_CHANNEL

ANSWER_US = 10_000_000
KEPT_JOINS = 8  # granted joins, kept since an error may still follow as a second answer


def command_backoff() -> Backoff:
    """Return the backoff of one connection's refused commands. Connections are refused each for its own sake."""
    return Backoff(first_seconds=0.1, longest_seconds=60.0)


class CommandKind(Enum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    ADD = "add_markets"
    DELETE = "delete_markets"
    SNAPSHOT = "get_snapshot"
    LIST = "list_subscriptions"


JOINS = frozenset({CommandKind.SUBSCRIBE, CommandKind.ADD})


class Command(NamedTuple):
    kind: CommandKind
    sent_us: int
    tickers: list[str]
    channel: str = ""
    sid: int | None = None


class Commands:
    """The commands of one connection."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._unanswered: dict[int, Command] = {}
        self._joins: dict[int, Command] = {}  # the latest granted ones

    def subscribe(self, channel: str, now_us: int) -> bytes:
        return self._encode(Command(CommandKind.SUBSCRIBE, now_us, [], channel), "subscribe", channels=[channel])

    def subscribe_to_books(self, tickers: list[str], now_us: int) -> bytes:
        command = Command(CommandKind.SUBSCRIBE, now_us, tickers, BOOK_CHANNEL)
        options = {"use_yes_price": False, "skip_ticker_ack": True}
        return self._encode(command, "subscribe", channels=[BOOK_CHANNEL], market_tickers=tickers, **options)

    def unsubscribe(self, sid: int, now_us: int) -> bytes:
        return self._encode(Command(CommandKind.UNSUBSCRIBE, now_us, [], sid=sid), "unsubscribe", sids=[sid])

    def update(self, kind: CommandKind, sid: int, tickers: list[str], now_us: int) -> bytes:
        command = Command(kind, now_us, tickers, sid=sid)
        return self._encode(command, "update_subscription", sids=[sid], action=kind.value, market_tickers=tickers)

    def list_subscriptions(self, sid: int | None, now_us: int) -> bytes:
        return self._encode(Command(CommandKind.LIST, now_us, [], sid=sid), "list_subscriptions")

    def unanswered(self, kind: CommandKind) -> int:
        return sum(command.kind is kind for command in self._unanswered.values())

    def waits_for_channel(self, channel: str) -> bool:
        return any(command.channel == channel for command in self._unanswered.values())

    def answered(self, number: int | None) -> Command | None:
        """Return the command that this answers, or None if it is unknown or was given up."""
        command = None if number is None else self._unanswered.pop(number, None)
        if number is not None and command is not None and command.kind in JOINS:
            self._joins[number] = command
            if len(self._joins) > KEPT_JOINS:
                del self._joins[next(iter(self._joins))]
        return command

    def refused(self, number: int | None) -> Command | None:
        """Return the command that an error is about, or None. A granted command may get an error as a second answer."""
        if number is None:
            return None
        return self._unanswered.pop(number, None) or self._joins.pop(number, None)

    def overdue(self, now_us: int) -> Iterable[Command]:
        """Yield the commands without an answer in time and forget them; the caller repeats what is still wanted."""
        late = [number for number, command in self._unanswered.items() if now_us - command.sent_us >= ANSWER_US]
        for number in late:
            command = self._unanswered.pop(number)
            # Requested books answer one by one, each with this number, so an overdue request of books is not counted.
            if command.kind is not CommandKind.SNAPSHOT:
                metrics.UNANSWERED_COMMANDS.labels(command.kind.value).inc()
            yield command

    def forget(self) -> None:
        self._unanswered.clear()
        self._joins.clear()

    def _encode(self, command: Command, name: str, **params: object) -> bytes:
        number = next(self._numbers)
        self._unanswered[number] = command
        metrics.COMMANDS.labels(command.kind.value).inc()
        body = {"id": number, "cmd": name}
        return msgspec.json.encode({**body, "params": params} if params else body)
