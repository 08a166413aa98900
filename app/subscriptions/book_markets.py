from collections.abc import Iterable, Iterator
from itertools import islice

from app.subscriptions.journal import Journal
from app.subscriptions.patience import SECOND_US
from app.subscriptions.roles import BOOK_CHANNEL

SILENCE_US = 30 * SECOND_US
RETRY_US = 300 * SECOND_US


def first(queue: dict[str, None], count: int) -> list[str]:
    taken = list(islice(queue, count))
    for ticker in taken:
        del queue[ticker]
    return taken


def due(moments_us: dict[str, int], now_us: int) -> Iterator[str]:
    """Those whose moment has come, in the order in which they came in, which is that of their moments."""
    taken: list[str] = []
    for ticker, moment_us in moments_us.items():
        if moment_us > now_us:
            break
        taken.append(ticker)
    for ticker in taken:
        del moments_us[ticker]
        yield ticker


class BookMarkets:
    """Where each market of one socket stands: waiting to be asked for, joining (asked for), listened to, or silent.

    Only a snapshot that nobody asked for by itself proves that a market has joined the subscription. One that gives
    none is deleted and added once more, then left alone for a while.
    """

    def __init__(self, journal: Journal) -> None:
        self.wanted = 0
        self.since: dict[str, int] = {}  # listened to, from its first snapshot on; outlasts gaps
        self.waiting: dict[str, None] = {}
        self.joining: dict[str, int] = {}  # until when its snapshot is expected
        self.to_leave: dict[str, None] = {}
        self._silent: dict[str, int] = {}  # when it is tried again
        self._leaving: set[str] = set()
        self._returning: set[str] = set()  # wanted again, once it has left
        self._perhaps: set[str] = set()  # waiting, though it may have joined: nobody answered
        self._tried_twice: set[str] = set()
        self._own: dict[str, str] = {}  # of those joining, as we were given it: each message brings a copy
        self._journal = journal

    def holds(self, ticker: str) -> bool:
        places = (self.since, self.waiting, self.joining, self._silent, self._returning)
        return any(ticker in place for place in places)

    def tickers(self) -> list[str]:
        return list({**self.since, **self.waiting, **self.joining, **self._silent, **dict.fromkeys(self._returning)})

    def listened_to(self) -> list[str]:
        """On this socket, and not about to leave."""
        groups = (self.waiting, self.joining, self.to_leave, self._leaving)
        return [ticker for ticker in self.since if not any(ticker in group for group in groups)]

    def want(self, ticker: str) -> None:
        if not self.holds(ticker):
            self.wanted += 1
            self._enter(ticker)

    def unwant(self, ticker: str, now_us: int) -> None:
        if not self.holds(ticker):
            return
        self.wanted -= 1
        is_asked_for = ticker in self._perhaps or not (ticker in self.waiting or ticker in self._returning)
        self.end(ticker, now_us)
        self._clear(ticker)
        if is_asked_for:
            self.to_leave[ticker] = None

    def end(self, ticker: str, ended_us: int) -> None:
        """It is listened to no more, or at least not for sure."""
        started_us = self.since.pop(ticker, None)
        if started_us is not None:
            self._journal.ended(BOOK_CHANNEL, ticker, started_us, ended_us)

    def snapshot(self, ticker: str, received_us: int, *, is_answer: bool) -> bool:
        """Whether it is a book to go on from."""
        if ticker in self.to_leave or ticker in self._leaving:
            return False
        is_new = ticker in self.waiting or ticker in self.joining or ticker in self._silent
        if is_new and not is_answer:
            ticker = self._own.get(ticker, ticker)
            self._clear(ticker)
            if ticker not in self.since:
                self.since[ticker] = received_us
                self._journal.began(BOOK_CHANNEL, ticker, received_us)
            return True
        if not is_new and ticker not in self.since and not is_answer:
            self.to_leave[ticker] = None  # a command that we had given up was heard after all
        return not is_new and ticker in self.since

    def join(self, count: int, now_us: int) -> list[str]:
        tickers = first(self.waiting, count)
        self.joining.update(dict.fromkeys(tickers, now_us + SILENCE_US))
        self._own.update(zip(tickers, tickers, strict=True))
        return tickers

    def not_joined(self, tickers: Iterable[str], *, perhaps: bool) -> None:
        for ticker in tickers:
            if self.joining.pop(ticker, None) is not None:
                self.waiting[ticker] = None
                if perhaps:
                    self._perhaps.add(ticker)

    def turn_away(self, ended_us: int) -> list[str]:
        """There is no room for those that wait: they are not this socket's any more."""
        gone = list(self.waiting)
        for ticker in gone:
            self.wanted -= 1
            self.end(ticker, ended_us)
            self._clear(ticker)
        return gone

    def leave(self, count: int) -> list[str]:
        tickers = first(self.to_leave, count)
        self._leaving.update(tickers)
        return tickers

    def left(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            self._leaving.discard(ticker)
            if ticker in self._returning:
                self._returning.remove(ticker)
                self.waiting[ticker] = None

    def return_at_once(self) -> None:
        """There is no subscription that they could leave first, as far as we know."""
        for ticker in self._returning:
            self.to_leave.pop(ticker, None)
            self._leaving.discard(ticker)
            self.waiting[ticker] = None
        self._perhaps |= self._returning
        self._returning.clear()

    def not_left(self, tickers: Iterable[str]) -> None:
        self._leaving.difference_update(tickers)
        self.to_leave.update(dict.fromkeys(tickers))

    def try_again(self, ticker: str, now_us: int) -> bool:
        """After it gave no snapshot. False: that was so the last time too, and it is left alone."""
        if ticker in self._tried_twice:
            self.leave_alone(ticker, now_us)
            return False
        self._tried_twice.add(ticker)
        self._return(ticker)
        return True

    def leave_alone(self, ticker: str, now_us: int) -> None:
        self._clear(ticker)
        self._tried_twice.add(ticker)
        self._silent[ticker] = now_us + RETRY_US

    def missed(self, now_us: int) -> Iterator[str]:
        """Those whose snapshot should have come; silent ones that are due are tried again by the way."""
        for ticker in due(self._silent, now_us):
            self._return(ticker)
        yield from due(self.joining, now_us)

    def start_over(self) -> None:
        """The subscription is no more, and all are to join another."""
        returning = dict.fromkeys(self._returning)
        places = (self.since, self.waiting, self.joining, returning, self._silent)
        self.waiting = {ticker: None for place in places for ticker in place}
        for place in (self.joining, self._silent, self.to_leave, self._own):
            place.clear()
        for group in (self._leaving, self._returning, self._perhaps, self._tried_twice):
            group.clear()

    def _enter(self, ticker: str) -> None:
        if ticker in self.to_leave or ticker in self._leaving:
            self._returning.add(ticker)
        else:
            self.waiting[ticker] = None

    def _return(self, ticker: str) -> None:
        self._returning.add(ticker)
        self.to_leave[ticker] = None

    def _clear(self, ticker: str) -> None:
        for place in (self.waiting, self.joining, self._silent, self._own):
            place.pop(ticker, None)
        for group in (self._returning, self._perhaps, self._tried_twice):
            group.discard(ticker)
