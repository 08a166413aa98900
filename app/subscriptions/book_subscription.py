"""Keep the order books of one connection subscribed, over all of its sockets.

In: which markets are wanted, and the exchange's messages. Out: commands and journal entries. A loss makes every book of
the subscription doubtful until its next snapshot.
"""

from app.kalshi.messages import (
    Error,
    Message,
    Ok,
    OrderbookSnapshot,
    Subscribed,
    SubscriptionEntry,
    SubscriptionList,
    Unknown,
    Unsubscribed,
)
from app.normalize.stream import SequenceGap
from app.subscriptions import roles as codes
from app.subscriptions.book_markets import BookMarkets, MarketState
from app.subscriptions.book_requests import UNREADABLE, BookRecovery, BookRequests, Refresh
from app.subscriptions.commands import JOINS, Command, CommandKind
from app.subscriptions.interface import GapControl
from app.subscriptions.journal import ALL_SUBSCRIPTIONS, Journal
from app.subscriptions.roles import BOOK, BOOK_CHANNEL

# A refusal may come late: of a market that is received, or returns, or is not wanted any more, it says nothing.
ASKED_FOR = (MarketState.TO_JOIN, MarketState.JOINING)


class BookSubscription:
    """The order books of one connection: one subscription per socket, grown and shrunk to what is wanted."""

    def __init__(self, journal: Journal, refresh_seconds: int) -> None:
        self.must_reconnect: str | None = None
        self.sid: int | None = None
        self._journal = journal
        self._markets = BookMarkets(journal)
        self._recovery = BookRecovery(journal)
        self._requests = BookRequests(self._markets, self._recovery, Refresh(refresh_seconds))
        self.request_books = self._requests.request_now
        self.request_before_closing = self._requests.request_before_closing
        self._stream: GapControl | None = None
        self._turned_away: list[str] = []
        # The snapshots of a subscription that was not acknowledged yet: its answer may come after its first messages.
        self._early: dict[tuple[int, str], int] = {}
        self._received_until_us = self._now_us = 0  # the first in the exchange's time, the second by the steady clock

    @property
    def sids(self) -> list[int]:
        return [] if self.sid is None else [self.sid]

    @property
    def wanted(self) -> int:
        return self._markets.wanted

    @property
    def received(self) -> int:
        return len(self._markets.since) - len(self._recovery.lacking)

    @property
    def in_doubt(self) -> int:
        return len(self._recovery.lacking)

    def receives(self, ticker: str) -> bool:
        return ticker in self._markets.since and ticker not in self._recovery.lacking

    def tickers(self) -> list[str]:
        return self._markets.tickers()

    def want(self, tickers: list[str]) -> None:
        for ticker in tickers:
            self._markets.want(ticker)

    def unwant(self, tickers: list[str], now_us: int) -> None:
        for ticker in tickers:
            self._markets.unwant(ticker, self._recovery.received_until_us(ticker, now_us))
            self._recovery.recovered(ticker)
        self._close_gaps()

    def take_turned_away(self) -> list[str]:
        """Return and forget the markets that had no room here: they are not wanted here any more."""
        taken, self._turned_away = self._turned_away, []
        return taken

    def opened(self, stream: GapControl, now_us: int) -> None:
        self._stream, self._now_us = stream, now_us
        self.must_reconnect = None
        self._requests.start(now_us, self._journal.conn)

    def closed(self, last_sign_us: int) -> None:
        self._stream = None
        # A ping proves that the line was alive, not that the subscription was.
        self._start_over("disconnected", ALL_SUBSCRIPTIONS, min(last_sign_us, self._received_until_us))

    def note_received(self, sid: int, until_us: int) -> None:
        if sid == self.sid:
            self._received_until_us = until_us

    def note_gap(self, gap: SequenceGap, now_us: int) -> None:  # noqa: ARG002 - a book resumes at its next snapshot
        self._early.clear()
        if self._stream is not None:
            self._stream.begin_gap(gap.sid)
        if gap.sid == self.sid:
            self._open_gap("sequence", gap.sid, max(gap.missing, 0))

    def handle(self, message: Message, received_us: int) -> bool:
        match message:
            case OrderbookSnapshot():
                self._snapshot(message, received_us)
            case Ok() | Subscribed() | Unsubscribed() | SubscriptionList():
                self._answer(message, received_us)
            case Error():
                self._error(message, self._now_us)
            case Unknown() if message.may_be_one_of(BOOK.message_types):
                self._unreadable(message)
        return True

    def commands(self, now_us: int) -> list[bytes]:
        self._now_us = now_us
        if self._stream is None:
            return []
        self._retry([*self._markets.overdue(now_us), *self._recovery.overdue(now_us)], now_us)
        return self._requests.next(self.sid, now_us)

    def _snapshot(self, message: OrderbookSnapshot, received_us: int) -> None:
        ticker, is_answer = message.msg.market_ticker, message.id is not None
        if self.sid is None and self._markets.state_of(ticker) is MarketState.JOINING:
            self._early[message.sid, ticker] = received_us
        if message.sid == self.sid and self._markets.snapshot(ticker, received_us, is_answer=is_answer):
            self._recovery.recovered(ticker, received_us)
            self._close_gaps()

    def _answer(self, message: Ok | Subscribed | Unsubscribed | SubscriptionList, now_us: int) -> None:
        command = self._requests.answered(message.id)
        if isinstance(message, Subscribed):
            self._subscribed(message.msg, now_us)
        elif isinstance(message, Unsubscribed):
            self._early.clear()
            if message.sid == self.sid and self.sid is not None:
                self._subscription_ended("unsubscribed", self.sid)
        elif command is not None and command.kind is CommandKind.LIST:
            listed = message.subscriptions if isinstance(message, SubscriptionList) else message.msg
            if isinstance(listed, list) and command.sid == self.sid:
                self._compare(listed, now_us)
        if command is not None:
            self._requests.granted(command)

    def _subscribed(self, subscription: SubscriptionEntry, now_us: int) -> None:
        if self.sid is None:
            self.sid, self._received_until_us = subscription.sid, now_us
            self._take_early()
        # A repeated command may be granted twice; the second subscription is ended again.
        elif subscription.sid != self.sid:
            self._requests.extra_sids.append(subscription.sid)

    def _take_early(self) -> None:
        """Count the books that the subscription showed before it was acknowledged as received since then."""
        for (sid, ticker), received_us in self._early.items():
            if sid == self.sid and self._markets.snapshot(ticker, received_us, is_answer=False):
                self._recovery.recovered(ticker, received_us)
        self._early.clear()
        self._close_gaps()

    def _compare(self, listed: list[SubscriptionEntry], now_us: int) -> None:
        """Compare the exchange's list of subscriptions with ours."""
        sids = [each.sid for each in listed if each.channel == BOOK_CHANNEL]
        if self.sid is not None and self.sid not in sids:
            self._subscription_ended("unsubscribed", self.sid)
        elif self.sid is not None:
            self._received_until_us = max(self._received_until_us, self._journal.complete_until_us(now_us))
        self._requests.extra_sids.extend(sid for sid in sids if sid != self.sid)

    def _error(self, message: Error, now_us: int) -> None:
        code, command = message.msg.code, self._requests.refused(message, self._journal.conn)
        if code in codes.CAUSES:
            self._early.clear()
        if code in codes.CAUSES and self.sid is not None and message.sid in (self.sid, None):
            self._subscription_ended(codes.CAUSES[code], self.sid)
        elif code == codes.AUTHENTICATION_REQUIRED or (code == codes.ALREADY_SUBSCRIBED and self.sid is None):
            self.must_reconnect = message.msg.msg
        elif command is not None:
            self._command_failed(command, code, now_us)

    def _command_failed(self, command: Command, code: int, now_us: int) -> None:
        if code == codes.MARKET_LIMIT and command.kind in JOINS:
            # No reason to wait: a smaller command may have room, and the market that has none is requested elsewhere.
            if not self._requests.split(command):
                self._turn_away()
            return
        self._requests.back_off(now_us)
        if code == codes.UNKNOWN_SID:
            if command.sid == self.sid is not None:
                self._subscription_ended("unsubscribed", self.sid)
        elif code in codes.LATER or not command.tickers:
            self._requests.put_back(command)
        elif command.kind is CommandKind.SNAPSHOT:
            # The older wire lacks the snapshot command; joining again gives a snapshot too.
            self._retry([ticker for ticker in command.tickers if ticker in self._recovery.lacking], now_us)
        elif not self._requests.split(command) and self._requests.is_to_blame(command):
            self._set_aside(command.kind, command.tickers[0], now_us)

    def _set_aside(self, kind: CommandKind, ticker: str, now_us: int) -> None:
        """Give up the one market that the exchange refuses."""
        if kind is CommandKind.DELETE:
            self._markets.deleted([ticker])
        elif self._markets.state_of(ticker) in ASKED_FOR:
            self._give_up(ticker, now_us)

    def _turn_away(self) -> None:
        for ticker in self._markets.turn_away(self._certain_until_us()):
            self._recovery.recovered(ticker)
            self._turned_away.append(ticker)

    def _unreadable(self, message: Unknown) -> None:
        """Treat a message that cannot be parsed as a loss: it may have been a change of any book."""
        self._early.clear()
        sid = self.sid if message.sid is None else message.sid
        if sid is not None and sid == self.sid and self._stream is not None:
            self._stream.begin_gap(sid)
            self._open_gap(UNREADABLE, sid, 1, may_recur=message.type is not None)

    def _open_gap(self, cause: str, sid: int, missing: int, *, may_recur: bool = False) -> None:
        """Open a gap and request every book again. Without books nothing is lost, so the gap ends at once."""
        since = self._markets.since
        if since:
            self._recovery.open_gap(cause, sid, self._received_until_us, since, missing)
            if may_recur:
                self._recovery.delay_requests(self._now_us)
            self._recovery.request(self._markets.joined())
        elif self._stream is not None:
            self._stream.end_gap(sid)

    def _subscription_ended(self, cause: str, sid: int) -> None:
        """Start over after the subscription ended."""
        if self._stream is not None:
            self._stream.forget(sid)
        self._start_over(cause, sid, self._received_until_us)

    def _start_over(self, cause: str, sid: int, started_us: int) -> None:
        self.sid = None
        self._early.clear()
        self._requests.start_over()
        self._recovery.forget_requests()
        self._markets.start_over()
        self._recovery.open_gap_after_end(cause, sid, started_us, self._markets.since)

    def _retry(self, tickers: list[str], now_us: int) -> None:
        for ticker in tickers:
            if not self._markets.retry(ticker):
                self._give_up(ticker, now_us)
        self._close_gaps()

    def _give_up(self, ticker: str, now_us: int) -> None:
        """End the market at the time of the loss: as far as is known, nothing of it was received since."""
        self._markets.give_up(ticker, self._certain_until_us(), now_us)
        self._recovery.give_up(ticker)

    def _certain_until_us(self) -> int:
        """Return until when every market was received with certainty."""
        return self._recovery.started_us if self._recovery.is_open else self._received_until_us

    def _close_gaps(self) -> None:
        is_over = self._recovery.is_open and not self._recovery.lacking
        if is_over and self._recovery.close_gaps() and self._stream is not None and self.sid is not None:
            self._stream.end_gap(self.sid)
