"""Limit how fast and how often the process dials the exchange, and open its sockets.

In: connections that want to dial. Out: whose turn it is, and how long to wait. What refuses one connection refuses
all, so one queue serves the whole process.
"""

import bisect
import ssl
from collections.abc import Callable
from itertools import count
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

from app.errors import SettingsError
from app.kalshi.endpoints import hosts_of, required_signer
from app.kalshi.request_budget import NS_PER_SECOND, BudgetLimits, TokenBucket
from app.kalshi.websocket import WebSocket, connect
from app.runtime.backoff import SECOND_US, Backoff
from app.settings import Settings

LONGEST_SECONDS = 60
DENIED_SECONDS = 300
FOREVER_SECONDS = 3_600.0


class DialTurn(NamedTuple):
    """A place in the queue. Turns sort in dialling order: exchange-wide connections first, then by arrival."""

    is_of_books: bool
    number: int


class DialQueue:
    """Decides which connection of the process dials next, and when. Pure: the caller passes the time and waits.

    A limited number dials per second. Order books wait until exchange-wide connections have their answers, since these
    might find no room otherwise. After a failed attempt connections dial one at a time and ever more slowly, until an
    attempt that began later succeeds: what refuses one connection refuses all.
    """

    def __init__(self, connects_per_second: int, random: Random, now_seconds: float) -> None:
        self._bucket = TokenBucket(BudgetLimits(connects_per_second, connects_per_second), _ns(now_seconds))
        self._random = random
        self._numbers = count(1)
        self._line: list[DialTurn] = []
        self._dialling: set[DialTurn] = set()
        self._probe: DialTurn | None = None  # the latest turn that dialled while attempts failed
        self._backoff, self._denials = self._new_backoff(LONGEST_SECONDS), self._new_backoff(DENIED_SECONDS)
        self._closed_until_seconds = 0.0
        self.is_failing = False
        self.is_refusing = False  # the exchange answers, but refuses connections

    @property
    def first(self) -> DialTurn | None:
        return self._line[0] if self._line else None

    def join(self, *, is_of_books: bool) -> DialTurn:
        turn = DialTurn(is_of_books, next(self._numbers))
        bisect.insort(self._line, turn)
        return turn

    def leave(self, turn: DialTurn) -> None:
        if turn in self._line:
            self._line.remove(turn)

    def take(self, turn: DialTurn, now_seconds: float) -> float:
        """Return 0 if this turn may dial. It has then left the queue, and opened() or failed() must follow.

        Otherwise return the seconds to wait, unless something changes before.
        """
        if turn != self.first or self._must_await_answers(turn):
            return FOREVER_SECONDS
        wait_seconds = max(
            self._closed_until_seconds - now_seconds, self._bucket.ns_until(1, _ns(now_seconds)) / NS_PER_SECOND
        )
        if wait_seconds > 0:
            return wait_seconds
        self._bucket.take(1)
        self._line.remove(turn)
        self._dialling.add(turn)
        self._probe = turn if self.is_failing else None
        return 0

    def opened(self, turn: DialTurn) -> bool:
        """Return True if this shows that the exchange accepts connections again."""
        self._dialling.discard(turn)
        is_news = self.is_failing and turn == self._probe
        if is_news:
            self.forget_failures()
        return is_news

    def failed(self, turn: DialTurn, now_seconds: float, *, is_refused: bool = False, is_denied: bool = False) -> None:
        self._dialling.discard(turn)
        self.is_failing, self.is_refusing = True, is_refused
        # A key is rarely refused for good: an exchange that restarts, or a proxy, may refuse it for seconds.
        backoff = self._denials if is_denied else self._backoff
        until_seconds = now_seconds + backoff.failed_at(int(now_seconds * SECOND_US))
        self._closed_until_seconds = max(self._closed_until_seconds, until_seconds)

    def forget_failures(self) -> None:
        """Forget failures: as far as is known, the exchange accepts connections again."""
        self._backoff, self._denials = self._new_backoff(LONGEST_SECONDS), self._new_backoff(DENIED_SECONDS)
        self._closed_until_seconds = 0.0
        self.is_failing = self.is_refusing = False

    def _must_await_answers(self, turn: DialTurn) -> bool:
        """Return True if the turn must wait for the attempts under way."""
        if self.is_failing:
            return bool(self._dialling)
        return turn.is_of_books and not all(other.is_of_books for other in self._dialling)

    def _new_backoff(self, longest_seconds: float) -> Backoff:
        return Backoff(1.0, longest_seconds, jitter=0.5, chance=self._random.random)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_SECOND)


TIMEOUT_SECONDS = 10.0
MOST_SOCKETS = 150
FEWEST_SOCKETS = 7  # two each for tickers, trades and lifecycle, and one for order books


def sockets_of(settings: Settings) -> int:
    """Return how many sockets this gatherer opens: at most its share of the account's connections."""
    granted, gatherers = settings.account_connections, settings.gatherers
    share = granted // gatherers
    sockets = settings.ws_connections or min(MOST_SOCKETS, share)
    if sockets < FEWEST_SOCKETS:
        raise SettingsError(
            "The account has too few connections.",
            f"{gatherers} gatherers share {granted} of them, and each needs {FEWEST_SOCKETS}.",
            "lower KALSHI_GATHERERS, or raise KALSHI_ACCOUNT_CONNECTIONS to what the exchange grants.",
        )
    if sockets > share:
        raise SettingsError(
            "All gatherers together ask for more connections than the account is granted.",
            f"{gatherers} times KALSHI_WS_CONNECTIONS={sockets} is more than KALSHI_ACCOUNT_CONNECTIONS={granted}.",
            f"unset KALSHI_WS_CONNECTIONS or give {share} at most, or raise KALSHI_ACCOUNT_CONNECTIONS to what the "
            "exchange grants.",
        )
    return sockets


def socket_factory(settings: Settings) -> Callable[[], WebSocket]:
    """Return a function that opens one more socket to the exchange each time it is called."""
    url, signer = hosts_of(settings).ws_url, required_signer(settings)
    path = urlsplit(url).path
    # Creating a context takes longer than a handshake, and 150 of them would hold the same authorities 150 times.
    context = ssl.create_default_context() if url.startswith("wss:") else None
    return lambda: connect(url, signer.headers("GET", path), TIMEOUT_SECONDS, context)
