import bisect
from enum import IntEnum
from typing import NamedTuple

from app.kalshi.token_bucket import TokenBucket


class Priority(IntEnum):
    """Who asks. The lesser number goes first."""

    RECONCILE = 0
    REPAIR = 1
    POLLING = 2


class Ticket(NamedTuple):
    """A place in the line. Tickets sort as they are served: by priority, then in the order of arrival."""

    priority: Priority
    number: int
    tokens: int


class LineFullError(Exception):
    """More callers wait at once than the program has any reason to start."""


class WaitingLine:
    """Who may take tokens from the bucket next. Pure: the time is told, and nobody is woken."""

    def __init__(self, bucket: TokenBucket, max_waiting: int) -> None:
        self._bucket = bucket
        self._max_waiting = max_waiting
        self._waiting: list[Ticket] = []
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, priority: Priority, tokens: int) -> Ticket:
        if len(self._waiting) >= self._max_waiting:
            raise LineFullError(f"{self._max_waiting} callers wait for the request budget already")
        ticket = Ticket(priority, self._next_number, tokens)
        self._next_number += 1
        bisect.insort(self._waiting, ticket)
        return ticket

    def pay(self, ticket: Ticket, now_ns: int) -> int:
        """0: the tokens are taken and the ticket has left the line. Else the nanoseconds to wait before the next try.

        Whoever is ahead is counted in: a ticket that tries first may pay if enough is left for all who are before it.
        So nobody needs to be woken, and one that wakes late holds up none behind it.
        """
        tokens_ahead = sum(other.tokens for other in self._waiting if other <= ticket)
        wait_ns = self._bucket.ns_until(tokens_ahead, now_ns)
        if wait_ns == 0:
            self._bucket.take(ticket.tokens)
            self._waiting.remove(ticket)
        return wait_ns

    def leave(self, ticket: Ticket) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)
