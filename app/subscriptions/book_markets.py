"""Keep the state of every market on one book socket: a state machine per market, for up to a million markets.

In: wishes of the registry, snapshots and answers of the exchange. Out: the tickers to add and to delete next, and
journal entries of the intervals in which a market was received.
"""

from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice, takewhile

from app.runtime.backoff import SECOND_US
from app.subscriptions.journal import Journal
from app.subscriptions.roles import BOOK_CHANNEL


class MarketState(Enum):
    """The state of a market on one socket. A message that does not fit the state is late, and is ignored.

    ABSENT -> WAITING -> JOINING -> JOINED     its snapshot arrived
                 ^          |
                 |          +-> RETURNING      no snapshot: it is deleted and added again
                 |          +-> SILENT         no snapshot again: it is left alone for a while, then RETURNING
                 +-- RETURNING                 it was deleted, or there was no subscription to delete it from
    JOINED, JOINING, SILENT -> LEAVING -> ABSENT     it is not wanted any more; if wanted again meanwhile: RETURNING
    """

    ABSENT = auto()
    WAITING = auto()  # to be asked for
    JOINING = auto()  # asked for
    JOINED = auto()
    SILENT = auto()  # asked for without result
    LEAVING = auto()  # not wanted, to be deleted
    RETURNING = auto()  # wanted, to be deleted first


SILENCE_US = 30 * SECOND_US
RETRY_US = 300 * SECOND_US


def first(queue: dict[str, None], count: int) -> list[str]:
    """Remove and return the first tickers of the queue."""
    taken = list(islice(queue, count))
    for ticker in taken:
        del queue[ticker]
    return taken


def due(moments_us: dict[str, int], now_us: int) -> list[str]:
    """Return the tickers whose time has come. They are in the order of their times, so the search stops early."""
    return [ticker for ticker, _ in takewhile(lambda each: each[1] <= now_us, moments_us.items())]


class BookMarkets:
    """The states of the markets of one socket.

    A market's state is given by the container that holds its ticker: most are JOINED, and a million of them must not
    take more than one entry each.

    A snapshot proves that a market has joined the subscription only if it is not the answer to a request for a
    snapshot.
    """

    def __init__(self, journal: Journal) -> None:
        self.wanted = 0
        # Markets received, with the time of the first snapshot. An entry outlasts gaps: a market may be here and
        # WAITING.
        self.since: dict[str, int] = {}
        self.waiting: dict[str, None] = {}
        self.joining: dict[str, int] = {}  # the time by which its snapshot is expected
        self.to_leave: dict[str, None] = {}
        # Markets that the exchange refused to add or delete, with the number of commands it had granted by then.
        self.granted_when_refused: dict[str, int] = {}
        self._silent: dict[str, int] = {}  # when to try again
        self._leaving: set[str] = set()  # the exchange was asked to delete them
        self._returning: set[str] = set()
        self._perhaps: set[str] = set()  # waiting, but may have joined: the exchange did not answer
        self._tried_twice: set[str] = set()
        self._own: dict[str, str] = {}  # the ticker of each joining market as we were given it: messages bring copies
        self._journal = journal

    def state_of(self, ticker: str) -> MarketState:
        if ticker in self._returning:
            return MarketState.RETURNING
        if ticker in self.to_leave or ticker in self._leaving:
            return MarketState.LEAVING
        if ticker in self.waiting:
            return MarketState.WAITING
        if ticker in self.joining:
            return MarketState.JOINING
        if ticker in self._silent:
            return MarketState.SILENT
        return MarketState.JOINED if ticker in self.since else MarketState.ABSENT

    def tickers(self) -> list[str]:
        """Return every market that is wanted here."""
        return list({**self.since, **self.waiting, **self.joining, **self._silent, **dict.fromkeys(self._returning)})

    def listened_to(self) -> list[str]:
        """Return the markets that are received on this socket and are not about to leave."""
        groups = (self.waiting, self.joining, self.to_leave, self._leaving)
        return [ticker for ticker in self.since if not any(ticker in group for group in groups)]

    def want(self, ticker: str) -> None:
        match self.state_of(ticker):
            case MarketState.ABSENT:
                self.waiting[ticker] = None
            case MarketState.LEAVING:
                self._returning.add(ticker)
            case _:
                return
        self.wanted += 1

    def unwant(self, ticker: str, now_us: int) -> None:
        """Stop wanting the market. It is deleted from the subscription if it was, or may have been, added."""
        state = self.state_of(ticker)
        if state in (MarketState.ABSENT, MarketState.LEAVING):
            return
        self.wanted -= 1
        is_asked_for = ticker in self._perhaps or state is not MarketState.WAITING
        self.end(ticker, now_us)
        self._clear(ticker)
        # For a returning market the deletion is already queued or sent.
        if is_asked_for and state is not MarketState.RETURNING:
            self.to_leave[ticker] = None

    def end(self, ticker: str, ended_us: int) -> None:
        """Note in the journal that the market is no longer received, or no longer with certainty."""
        started_us = self.since.pop(ticker, None)
        if started_us is not None:
            self._journal.ended(BOOK_CHANNEL, ticker, started_us, ended_us)

    def snapshot(self, ticker: str, received_us: int, *, is_answer: bool) -> bool:
        """Return True if later changes of the market may be applied to this snapshot."""
        state = self.state_of(ticker)
        if state is MarketState.JOINED:
            return True
        if is_answer:
            return False
        if state is MarketState.ABSENT:
            self.to_leave[ticker] = None  # a command that had timed out was carried out after all
        if state not in (MarketState.WAITING, MarketState.JOINING, MarketState.SILENT):
            return False
        # Keep the string that we were given, not the copy from this message.
        ticker = self._own.get(ticker, ticker)
        self._clear(ticker)
        if ticker not in self.since:
            self.since[ticker] = received_us
            self._journal.began(BOOK_CHANNEL, ticker, received_us)
        return True

    def join(self, count: int, now_us: int) -> list[str]:
        """Return the next waiting markets, which are now joining."""
        tickers = first(self.waiting, count)
        self.joining.update(dict.fromkeys(tickers, now_us + SILENCE_US))
        self._own.update(zip(tickers, tickers, strict=True))
        return tickers

    def not_joined(self, tickers: Iterable[str], *, perhaps: bool) -> None:
        """Put joining markets back in the queue; `perhaps`: the command may have been carried out."""
        for ticker in tickers:
            if self.joining.pop(ticker, None) is not None:
                self.waiting[ticker] = None
                if perhaps:
                    self._perhaps.add(ticker)

    def note_refused(self, tickers: Iterable[str], granted: int) -> None:
        """Remember how many commands were granted when these markets were refused to be added or deleted."""
        for ticker in tickers:
            if self.state_of(ticker) is not MarketState.ABSENT:
                self.granted_when_refused.setdefault(ticker, granted)

    def turn_away(self, ended_us: int) -> list[str]:
        """Give up the waiting markets, since the socket has no room for them. Return them."""
        gone = list(self.waiting)
        for ticker in gone:
            self.unwant(ticker, ended_us)
        return gone

    def leave(self, count: int) -> list[str]:
        """Return the next markets to delete from the subscription."""
        tickers = first(self.to_leave, count)
        self._leaving.update(tickers)
        return tickers

    def left(self, tickers: Iterable[str]) -> None:
        """Note that the exchange deleted the markets. Returning ones wait to be added again."""
        for ticker in tickers:
            self._leaving.discard(ticker)
            for place in (self.to_leave, self.granted_when_refused):
                place.pop(ticker, None)
            if ticker in self._returning:
                self._returning.remove(ticker)
                self.waiting[ticker] = None

    def return_at_once(self) -> None:
        """Let returning markets wait to be added: as far as is known, no subscription holds them any more."""
        for ticker in self._returning:
            self.to_leave.pop(ticker, None)
            self._leaving.discard(ticker)
            self.waiting[ticker] = None
        self._perhaps |= self._returning
        self._returning.clear()

    def not_left(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            if ticker in self._leaving:
                self._leaving.remove(ticker)
                self.to_leave[ticker] = None

    def try_again(self, ticker: str, now_us: int) -> bool:
        """Have a market without a snapshot deleted and added again. Return False if that was tried before."""
        if self.state_of(ticker) not in (MarketState.JOINING, MarketState.JOINED):
            return True
        if ticker in self._tried_twice:
            self.leave_alone(ticker, now_us)
            return False
        self._tried_twice.add(ticker)
        self._return(ticker)
        return True

    def leave_alone(self, ticker: str, now_us: int) -> None:
        """Leave a market that is asked for or received alone for a while, then try it again."""
        self._clear(ticker)
        self._tried_twice.add(ticker)
        self._silent[ticker] = now_us + RETRY_US

    def missed(self, now_us: int) -> list[str]:
        """Return the markets whose snapshot is overdue. Silent markets that are due become returning ones."""
        for ticker in due(self._silent, now_us):
            self._return(ticker)
        return due(self.joining, now_us)

    def start_over(self) -> None:
        """Make all markets wait to join another subscription, since this one has ended."""
        returning = dict.fromkeys(self._returning)
        places = (self.since, self.waiting, self.joining, returning, self._silent)
        self.waiting = {ticker: None for place in places for ticker in place}
        for place in (self.joining, self._silent, self.to_leave, self._own, self.granted_when_refused):
            place.clear()
        for group in (self._leaving, self._returning, self._perhaps, self._tried_twice):
            group.clear()

    def _return(self, ticker: str) -> None:
        for place in (self.joining, self._silent):
            place.pop(ticker, None)
        self._returning.add(ticker)
        self.to_leave[ticker] = None

    def _clear(self, ticker: str) -> None:
        for place in (self.waiting, self.joining, self._silent, self._own, self.granted_when_refused):
            place.pop(ticker, None)
        for group in (self._returning, self._perhaps, self._tried_twice):
            group.discard(ticker)
