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
from app.subscriptions.interface import Trust
from app.subscriptions.journal import ALL_SUBSCRIPTIONS, Journal
from app.subscriptions.roles import BOOK, BOOK_CHANNEL

# A refusal may come late: of a market that is received, or returns, or is not wanted any more, it says nothing.
ASKED_FOR = (MarketState.WAITING, MarketState.JOINING)


class BookSubscription:
    """The order books of one connection: one subscription per socket, grown and shrunk to what is wanted."""

    def __init__(self, journal: Journal, refresh_seconds: int) -> None:
        self.must_reconnect: str | None = None
        self.sid: int | None = None
        self._journal = journal
        self._markets = BookMarkets(journal)
        self._repair = BookRecovery(journal)
        self._requests = BookRequests(self._markets, self._repair, Refresh(refresh_seconds))
        self.ask_anew = self._requests.ask_anew
        self.ask_before_closing = self._requests.ask_before_closing
        self._stream: Trust | None = None
        self._turned_away: list[str] = []
        self._heard_us = self._now_us = 0  # the first in the exchange's time, the second by the steady clock

    @property
    def sids(self) -> list[int]:
        return [] if self.sid is None else [self.sid]

    @property
    def wanted(self) -> int:
        return self._markets.wanted

    @property
    def heard(self) -> int:
        return len(self._markets.since) - len(self._repair.lacking)

    @property
    def in_doubt(self) -> int:
        return len(self._repair.lacking)

    def hears(self, ticker: str) -> bool:
        return ticker in self._markets.since and ticker not in self._repair.lacking

    def tickers(self) -> list[str]:
        return self._markets.tickers()

    def want(self, tickers: list[str]) -> None:
        for ticker in tickers:
            self._markets.want(ticker)

    def unwant(self, tickers: list[str], now_us: int) -> None:
        for ticker in tickers:
            self._markets.unwant(ticker, self._repair.heard_until_us(ticker, now_us))
            self._repair.heard(ticker)
        self._close_gaps()

    def take_turned_away(self) -> list[str]:
        """Return and forget the markets that had no room here: they are not wanted here any more."""
        taken, self._turned_away = self._turned_away, []
        return taken

    def opened(self, stream: Trust, now_us: int) -> None:
        self._stream, self._now_us = stream, now_us
        self.must_reconnect = None
        self._requests.start(now_us, self._journal.conn)

    def closed(self, last_sign_us: int) -> None:
        self._stream = None
        # A ping proves that the line was alive, not that the subscription was.
        self._start_over("disconnected", ALL_SUBSCRIPTIONS, min(last_sign_us, self._heard_us))

    def heard_of(self, sid: int, received_us: int) -> None:
        if sid == self.sid:
            self._heard_us = received_us

    def lost_some(self, gap: SequenceGap, now_us: int) -> None:  # noqa: ARG002 - a book resumes at its next snapshot
        if gap.sid == self.sid:
            self._mend("sequence", gap.sid, max(gap.missing, 0))

    def take(self, message: Message, received_us: int) -> bool:
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
        self._try_again([*self._markets.missed(now_us), *self._repair.missed(now_us)], now_us)
        return self._requests.next(self.sid, now_us)

    def _snapshot(self, message: OrderbookSnapshot, received_us: int) -> None:
        ticker, is_answer = message.msg.market_ticker, message.id is not None
        if message.sid == self.sid and self._markets.snapshot(ticker, received_us, is_answer=is_answer):
            self._repair.heard(ticker, received_us)
            self._close_gaps()

    def _answer(self, message: Ok | Subscribed | Unsubscribed | SubscriptionList, now_us: int) -> None:
        command = self._requests.answered(message.id)
        if isinstance(message, Subscribed):
            self._subscribed(message.msg, now_us)
        elif isinstance(message, Unsubscribed):
            if message.sid == self.sid and self.sid is not None:
                self._lost("unsubscribed", self.sid)
        elif command is not None and command.kind is CommandKind.LIST:
            listed = message.subscriptions if isinstance(message, SubscriptionList) else message.msg
            if isinstance(listed, list) and command.sid == self.sid:
                self._compare(listed, now_us)
        if command is not None:
            self._requests.granted(command)

    def _subscribed(self, subscription: SubscriptionEntry, now_us: int) -> None:
        if self.sid is None:
            self.sid, self._heard_us = subscription.sid, now_us
        # A repeated command may be granted twice; the second subscription is ended again.
        elif subscription.sid != self.sid:
            self._requests.extra_sids.append(subscription.sid)

    def _compare(self, listed: list[SubscriptionEntry], now_us: int) -> None:
        """Compare the exchange's list of subscriptions with ours."""
        sids = [each.sid for each in listed if each.channel == BOOK_CHANNEL]
        if self.sid is not None and self.sid not in sids:
            self._lost("unsubscribed", self.sid)
        elif self.sid is not None:
            self._heard_us = max(self._heard_us, self._journal.listed_us(now_us))
        self._requests.extra_sids.extend(sid for sid in sids if sid != self.sid)

    def _error(self, message: Error, now_us: int) -> None:
        code, command = message.msg.code, self._requests.refused(message, self._journal.conn)
        if code in codes.CAUSES and self.sid is not None and message.sid in (self.sid, None):
            self._lost(codes.CAUSES[code], self.sid)
        elif code == codes.AUTHENTICATION_REQUIRED or (code == codes.ALREADY_SUBSCRIBED and self.sid is None):
            self.must_reconnect = message.msg.msg
        elif command is not None:
            self._failed(command, code, now_us)

    def _failed(self, command: Command, code: int, now_us: int) -> None:
        if code == codes.MARKET_LIMIT and command.kind in JOINS:
            # No reason to wait: a smaller command may have room, and the market that has none is requested elsewhere.
            if not self._requests.halved(command):
                self._turn_away()
            return
        self._requests.back_off(now_us)
        if code == codes.UNKNOWN_SID:
            if command.sid == self.sid is not None:
                self._lost("unsubscribed", self.sid)
        elif code in codes.LATER or not command.tickers:
            self._requests.put_back(command)
        elif command.kind is CommandKind.SNAPSHOT:
            # The older wire lacks the snapshot command; joining again gives a snapshot too.
            self._try_again([ticker for ticker in command.tickers if ticker in self._repair.lacking], now_us)
        elif not self._requests.halved(command) and self._requests.is_to_blame(command):
            self._blame(command.kind, command.tickers[0], now_us)

    def _blame(self, kind: CommandKind, ticker: str, now_us: int) -> None:
        """Give up the one market that the exchange refuses."""
        if kind is CommandKind.DELETE:
            self._markets.left([ticker])
        elif self._markets.state_of(ticker) in ASKED_FOR:
            self._give_up(ticker)
            self._markets.leave_alone(ticker, now_us)

    def _turn_away(self) -> None:
        for ticker in self._markets.turn_away(self._repair.started_us if self._repair.is_open else self._heard_us):
            self._repair.heard(ticker)
            self._turned_away.append(ticker)

    def _unreadable(self, message: Unknown) -> None:
        """Treat a message that cannot be parsed as a loss: it may have been a change of any book."""
        sid = self.sid if message.sid is None else message.sid
        if sid is not None and sid == self.sid and self._stream is not None:
            self._stream.distrust(sid)
            self._mend(UNREADABLE, sid, 1, may_recur=message.type is not None)

    def _mend(self, cause: str, sid: int, missing: int, *, may_recur: bool = False) -> None:
        """Open a gap and request every book again. Without books nothing is lost: trust the subscription again."""
        since = self._markets.since
        if since:
            self._repair.begin(cause, sid, self._heard_us, since, missing)
            if may_recur:
                self._repair.ask_later(self._now_us)
            self._repair.ask_for(self._markets.listened_to())
        elif self._stream is not None:
            self._stream.trust(sid)

    def _lost(self, cause: str, sid: int) -> None:
        """Start over after the subscription ended."""
        if self._stream is not None:
            self._stream.forget(sid)
        self._start_over(cause, sid, self._heard_us)

    def _start_over(self, cause: str, sid: int, started_us: int) -> None:
        self.sid = None
        self._requests.start_over()
        self._repair.forget_questions()
        self._markets.start_over()
        self._repair.begin_after_end(cause, sid, started_us, self._markets.since)

    def _try_again(self, tickers: list[str], now_us: int) -> None:
        for ticker in tickers:
            if not self._markets.try_again(ticker, now_us):
                self._give_up(ticker)
        self._close_gaps()

    def _give_up(self, ticker: str) -> None:
        """End the market at the time of the loss: as far as is known, nothing of it was received since."""
        self._markets.end(ticker, self._repair.started_us if self._repair.is_open else self._heard_us)
        self._repair.give_up(ticker)

    def _close_gaps(self) -> None:
        is_over = self._repair.is_open and not self._repair.lacking
        if is_over and self._repair.close() and self._stream is not None and self.sid is not None:
            self._stream.trust(self.sid)
