"""Keep the state of every market on one book socket: a state machine per market, for up to a million markets.

In: wishes of the registry, snapshots and answers of the exchange. Out: the tickers to add and to delete next, and
journal entries of the intervals in which a market was received. Read TRANSITIONS first: it is all of the state machine.
"""

from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice, takewhile
from typing import NamedTuple

from app.runtime.backoff import SECOND_US
from app.subscriptions.journal import Journal
from app.subscriptions.roles import BOOK_CHANNEL


class MarketState(Enum):
    """The state of a market on one socket: what the exchange was asked, and what is to be asked next."""

    ABSENT = auto()  # neither wanted nor subscribed to
    TO_JOIN = auto()  # wanted, to be added
    JOINING = auto()  # wanted, its addition was requested: its snapshot is expected
    JOINED = auto()  # wanted, its snapshot arrived: its changes are received
    SILENT = auto()  # wanted, but requested without result: left alone for a while
    TO_LEAVE = auto()  # not wanted, to be deleted
    LEAVING = auto()  # not wanted, its deletion was requested
    TO_RETURN = auto()  # wanted, to be deleted and then added again
    RETURNING = auto()  # the same, its deletion was requested

    # Members are singletons. Enum's own hash is a Python function, which would take most of the time of a transition.
    __hash__ = object.__hash__


class MarketEvent(Enum):
    WANTED = auto()
    UNWANTED = auto()
    UNWANTED_UNSURE = auto()  # unwanted after an addition that the exchange did not answer: it may have joined
    JOIN_REQUESTED = auto()
    JOIN_FAILED = auto()  # the addition was refused, or not answered
    SNAPSHOT = auto()  # a snapshot arrived that was not requested by itself: the market has joined
    NO_SNAPSHOT = auto()  # it did not arrive in time
    GIVEN_UP = auto()  # it did not arrive again, or the exchange refuses this market
    RETRY_DUE = auto()
    DELETE_REQUESTED = auto()
    DELETE_FAILED = auto()
    DELETED = auto()
    NO_SUBSCRIPTION = auto()  # there is no subscription that the market could be deleted from
    SUBSCRIPTION_ENDED = auto()

    __hash__ = object.__hash__


# An event that a state does not name comes late, and changes nothing.
TRANSITIONS: dict[MarketState, dict[MarketEvent, MarketState]] = {
    MarketState.ABSENT: {
        MarketEvent.WANTED: MarketState.TO_JOIN,
        MarketEvent.SNAPSHOT: MarketState.TO_LEAVE,  # a command that had timed out was carried out after all
    },
    MarketState.TO_JOIN: {
        MarketEvent.UNWANTED: MarketState.ABSENT,
        MarketEvent.UNWANTED_UNSURE: MarketState.TO_LEAVE,
        MarketEvent.JOIN_REQUESTED: MarketState.JOINING,
        MarketEvent.SNAPSHOT: MarketState.JOINED,
        MarketEvent.GIVEN_UP: MarketState.SILENT,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
    MarketState.JOINING: {
        MarketEvent.UNWANTED: MarketState.TO_LEAVE,
        MarketEvent.UNWANTED_UNSURE: MarketState.TO_LEAVE,
        MarketEvent.JOIN_FAILED: MarketState.TO_JOIN,
        MarketEvent.SNAPSHOT: MarketState.JOINED,
        MarketEvent.NO_SNAPSHOT: MarketState.TO_RETURN,
        MarketEvent.GIVEN_UP: MarketState.SILENT,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
    MarketState.JOINED: {
        MarketEvent.UNWANTED: MarketState.TO_LEAVE,
        MarketEvent.UNWANTED_UNSURE: MarketState.TO_LEAVE,
        MarketEvent.NO_SNAPSHOT: MarketState.TO_RETURN,  # a later one, requested after a loss
        MarketEvent.GIVEN_UP: MarketState.SILENT,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
    MarketState.SILENT: {
        MarketEvent.UNWANTED: MarketState.TO_LEAVE,
        MarketEvent.UNWANTED_UNSURE: MarketState.TO_LEAVE,
        MarketEvent.SNAPSHOT: MarketState.JOINED,
        MarketEvent.RETRY_DUE: MarketState.TO_RETURN,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
    MarketState.TO_LEAVE: {
        MarketEvent.WANTED: MarketState.TO_RETURN,
        MarketEvent.DELETE_REQUESTED: MarketState.LEAVING,
        MarketEvent.DELETED: MarketState.ABSENT,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.ABSENT,
    },
    MarketState.LEAVING: {
        MarketEvent.WANTED: MarketState.RETURNING,
        MarketEvent.DELETE_FAILED: MarketState.TO_LEAVE,
        MarketEvent.DELETED: MarketState.ABSENT,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.ABSENT,
    },
    MarketState.TO_RETURN: {
        MarketEvent.UNWANTED: MarketState.TO_LEAVE,
        MarketEvent.UNWANTED_UNSURE: MarketState.TO_LEAVE,
        MarketEvent.DELETE_REQUESTED: MarketState.RETURNING,
        MarketEvent.DELETED: MarketState.TO_JOIN,
        MarketEvent.NO_SUBSCRIPTION: MarketState.TO_JOIN,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
    MarketState.RETURNING: {
        MarketEvent.UNWANTED: MarketState.LEAVING,
        MarketEvent.UNWANTED_UNSURE: MarketState.LEAVING,
        MarketEvent.DELETE_FAILED: MarketState.TO_RETURN,
        MarketEvent.DELETED: MarketState.TO_JOIN,
        MarketEvent.NO_SUBSCRIPTION: MarketState.TO_JOIN,
        MarketEvent.SUBSCRIPTION_ENDED: MarketState.TO_JOIN,
    },
}
UNWANTED_STATES = frozenset({MarketState.ABSENT, MarketState.TO_LEAVE, MarketState.LEAVING})

SILENCE_US = 30 * SECOND_US
RETRY_US = 300 * SECOND_US


class _Place(NamedTuple):
    """What a queue holds of a market. Markets share it: one each would cost more than the queue's own entry."""

    state: MarketState
    due_us: int = 0


class _Setbacks(NamedTuple):
    """What failed for a market since it was last received."""

    may_have_joined: bool = False  # an addition was not answered
    lacked_snapshot: bool = False
    granted_when_refused: int | None = None  # the number of commands that the exchange had granted by then


_PLACES = {state: _Place(state) for state in MarketState}
_NO_SETBACKS = _Setbacks()


class BookMarkets:
    """The states of the markets of one socket.

    One queue holds each market, and says its state. Only JOINED markets, nearly all, are in none: they are in `since`,
    and a million of them must not take more than that one entry each.

    A snapshot proves that a market has joined the subscription only if it is not the answer to a request for a
    snapshot.
    """

    def __init__(self, journal: Journal) -> None:
        self.wanted = 0
        # Markets received, with the time of the first snapshot. An entry outlasts gaps: a market may be here and
        # TO_JOIN.
        self.since: dict[str, int] = {}
        self.to_join: dict[str, _Place] = {}
        self.joining: dict[str, _Place] = {}
        self.to_delete: dict[str, _Place] = {}
        self._deleting: dict[str, _Place] = {}
        self._silent: dict[str, _Place] = {}
        self._queue_of = {
            MarketState.TO_JOIN: self.to_join,
            MarketState.JOINING: self.joining,
            MarketState.SILENT: self._silent,
            # In one queue, so that deletions are requested in the order in which they became due.
            MarketState.TO_LEAVE: self.to_delete,
            MarketState.TO_RETURN: self.to_delete,
            MarketState.LEAVING: self._deleting,
            MarketState.RETURNING: self._deleting,
        }
        self._queues = (self.to_join, self.joining, self.to_delete, self._deleting, self._silent)
        self._setbacks: dict[str, _Setbacks] = {}
        self._given: dict[str, str] = {}  # the ticker of each joining market as we were given it: messages bring copies
        self._journal = journal

    def state_of(self, ticker: str) -> MarketState:
        for queue in self._queues:
            place = queue.get(ticker)
            if place is not None:
                return place.state
        return MarketState.JOINED if ticker in self.since else MarketState.ABSENT

    def granted_when_refused(self, ticker: str) -> int | None:
        """Return how many commands were granted when the market was first refused; None if it was not refused."""
        return self._setbacks_of(ticker).granted_when_refused

    def tickers(self) -> list[str]:
        """Return every market that is wanted here."""
        places = (each for queue in self._queues for each in queue.items())
        return list({**self.since, **{ticker: 0 for ticker, place in places if place.state not in UNWANTED_STATES}})

    def joined(self) -> list[str]:
        return [ticker for ticker in self.since if not any(ticker in queue for queue in self._queues)]

    def want(self, ticker: str) -> None:
        self._apply(ticker, MarketEvent.WANTED)

    def unwant(self, ticker: str, ended_us: int) -> None:
        """Stop wanting the market. It is deleted from the subscription if it was, or may have been, added."""
        is_unsure = self._setbacks_of(ticker).may_have_joined
        if self._apply(ticker, MarketEvent.UNWANTED_UNSURE if is_unsure else MarketEvent.UNWANTED):
            self._stop_receiving(ticker, ended_us)
            self._forget_setbacks(ticker)

    def snapshot(self, ticker: str, received_us: int, *, is_answer: bool) -> bool:
        """Return True if later changes of the market may be applied to this snapshot."""
        if self.state_of(ticker) is MarketState.JOINED:
            return True
        # Keep the string that we were given, not the copy from this message.
        ticker = self._given.get(ticker, ticker)
        if is_answer or self._apply(ticker, MarketEvent.SNAPSHOT) is not MarketState.JOINED:
            return False
        self._forget_setbacks(ticker)
        if ticker not in self.since:
            self.since[ticker] = received_us
            self._journal.began(BOOK_CHANNEL, ticker, received_us)
        return True

    def next_to_join(self, count: int, now_us: int) -> list[str]:
        """Return the next markets to add to the subscription, which are now joining."""
        tickers = list(islice(self.to_join, count))
        # All at once, with the outcome of _apply() for each: a command names up to a thousand markets.
        for ticker in tickers:
            del self.to_join[ticker]
        following = TRANSITIONS[MarketState.TO_JOIN][MarketEvent.JOIN_REQUESTED]
        self.joining.update(dict.fromkeys(tickers, _Place(following, now_us + SILENCE_US)))
        self._given.update(zip(tickers, tickers, strict=True))
        return tickers

    def not_joined(self, tickers: Iterable[str], *, may_have_joined: bool) -> None:
        """Put joining markets back in the queue, since the command was refused, or not answered."""
        for ticker in tickers:
            if self._apply(ticker, MarketEvent.JOIN_FAILED) and may_have_joined:
                self._setbacks[ticker] = self._setbacks_of(ticker)._replace(may_have_joined=True)

    def note_refused(self, tickers: Iterable[str], granted: int) -> None:
        """Remember how many commands were granted when these markets were refused to be added or deleted."""
        for ticker in tickers:
            if self.state_of(ticker) is not MarketState.ABSENT and self.granted_when_refused(ticker) is None:
                self._setbacks[ticker] = self._setbacks_of(ticker)._replace(granted_when_refused=granted)

    def turn_away(self, ended_us: int) -> list[str]:
        """Give up the markets that are still to join, since the socket has no room for them. Return them."""
        gone = list(self.to_join)
        for ticker in gone:
            self.unwant(ticker, ended_us)
        return gone

    def next_to_delete(self, count: int) -> list[str]:
        """Return the next markets to delete from the subscription."""
        tickers = list(islice(self.to_delete, count))
        for ticker in tickers:
            self._apply(ticker, MarketEvent.DELETE_REQUESTED)
        return tickers

    def deleted(self, tickers: Iterable[str]) -> None:
        """Note that the exchange deleted the markets. Those that are still wanted are to be added again."""
        for ticker in tickers:
            following = self._apply(ticker, MarketEvent.DELETED)
            if following is MarketState.ABSENT:
                self._forget_setbacks(ticker)
            elif ticker in self._setbacks:
                self._setbacks[ticker] = self._setbacks_of(ticker)._replace(granted_when_refused=None)

    def not_deleted(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            self._apply(ticker, MarketEvent.DELETE_FAILED)

    def no_subscription(self) -> None:
        """Let returning markets be added at once: as far as is known, no subscription holds them any more."""
        for ticker in (*self.to_delete, *self._deleting):
            if self._apply(ticker, MarketEvent.NO_SUBSCRIPTION):
                self._setbacks[ticker] = self._setbacks_of(ticker)._replace(may_have_joined=True)

    def retry(self, ticker: str) -> bool:
        """Have a market without a snapshot deleted and added again. Return False if that was tried before."""
        if self.state_of(ticker) not in (MarketState.JOINING, MarketState.JOINED):
            return True
        if self._setbacks_of(ticker).lacked_snapshot:
            return False
        self._setbacks[ticker] = self._setbacks_of(ticker)._replace(lacked_snapshot=True)
        self._apply(ticker, MarketEvent.NO_SNAPSHOT)
        return True

    def give_up(self, ticker: str, ended_us: int, now_us: int) -> None:
        """Note that the market is not received any more. Leave it alone for a while, unless it is to be deleted."""
        if self._apply(ticker, MarketEvent.GIVEN_UP, _Place(MarketState.SILENT, now_us + RETRY_US)):
            self._forget_setbacks(ticker)
            self._setbacks[ticker] = _Setbacks(lacked_snapshot=True)
        # After the transition: a market in no queue that is not received would be ABSENT, and forgotten.
        self._stop_receiving(ticker, ended_us)

    def overdue(self, now_us: int) -> list[str]:
        """Return the joining markets whose snapshot is overdue. Silent markets that are due become returning ones."""
        for ticker in _due(self._silent, now_us):
            self._apply(ticker, MarketEvent.RETRY_DUE)
        return _due(self.joining, now_us)

    def start_over(self) -> None:
        """Have all wanted markets join another subscription, since this one has ended."""
        # All at once, as SUBSCRIPTION_ENDED says of each: a socket may have thousands.
        tickers = self.tickers()
        for queue in self._queues:
            queue.clear()
        self._setbacks.clear()
        self._given.clear()
        self.to_join.update(dict.fromkeys(tickers, _PLACES[MarketState.TO_JOIN]))

    def _apply(self, ticker: str, event: MarketEvent, place: _Place | None = None) -> MarketState | None:
        """Move the market to its next state, and return that; None if the event changes nothing."""
        state = self.state_of(ticker)
        following = TRANSITIONS[state].get(event)
        if following is None:
            return None
        queue, next_queue = self._queue_of.get(state), self._queue_of.get(following)
        if queue is not None and queue is not next_queue:
            del queue[ticker]
        if next_queue is not None:
            next_queue[ticker] = place or _PLACES[following]
        self.wanted += (state in UNWANTED_STATES) - (following in UNWANTED_STATES)
        return following

    def _stop_receiving(self, ticker: str, ended_us: int) -> None:
        """Note in the journal that the market is no longer received, or no longer with certainty."""
        started_us = self.since.pop(ticker, None)
        if started_us is not None:
            self._journal.ended(BOOK_CHANNEL, ticker, started_us, ended_us)

    def _setbacks_of(self, ticker: str) -> _Setbacks:
        return self._setbacks.get(ticker, _NO_SETBACKS)

    def _forget_setbacks(self, ticker: str) -> None:
        self._setbacks.pop(ticker, None)
        self._given.pop(ticker, None)


def _due(queue: dict[str, _Place], now_us: int) -> list[str]:
    """Return the tickers whose time has come. They are in the order of their times, so the search stops early."""
    return [ticker for ticker, _ in takewhile(lambda each: each[1].due_us <= now_us, queue.items())]
