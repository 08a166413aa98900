"""Who is logged in with a browser.

A session lives in the memory of the one process that the service is: a restart ends all of them, and nothing that a
thief of the database or of a backup would find opens one. What the browser keeps is a name of it, never the token.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from app.tokens import Token

SESSION_BYTES = 32
LONGEST = timedelta(days=7)
LONGEST_UNUSED = timedelta(hours=12)
MOST_OF_ONE_TOKEN = 20


def utc_now() -> datetime:
    return datetime.now(UTC)


class Session(NamedTuple):
    token: Token
    began: datetime
    used: datetime

    def is_over(self, now: datetime) -> bool:
        return now - self.began >= LONGEST or now - self.used >= LONGEST_UNUSED or self.token.has_expired(now)


class Sessions:
    """By the digest of the name that the browser presents. Of one token there are so many; one more ends its oldest."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()  # the oldest first

    def begin(self, token: Token) -> str:
        """Return the session's name."""
        self._forget_those_that_are_over()
        of_token = [key for key, session in self._sessions.items() if session.token.name == token.name]
        for key in of_token[: max(0, len(of_token) - MOST_OF_ONE_TOKEN + 1)]:
            del self._sessions[key]
        presented, now = secrets.token_urlsafe(SESSION_BYTES), self._clock()
        self._sessions[_digest(presented)] = Session(token, now, now)
        return presented

    def token_of(self, presented: str) -> Token | None:
        """Return whose session it is. None: it is over, or never was."""
        key, now = _digest(presented), self._clock()
        session = self._sessions.get(key)
        if session is None or session.is_over(now):
            self._sessions.pop(key, None)
            return None
        self._sessions[key] = session._replace(used=now)
        return session.token

    def end(self, presented: str) -> None:
        self._sessions.pop(_digest(presented), None)

    def __len__(self) -> int:
        return len(self._sessions)

    def _forget_those_that_are_over(self) -> None:
        now = self._clock()
        for key in [key for key, session in self._sessions.items() if session.is_over(now)]:
            del self._sessions[key]


def _digest(presented: str) -> bytes:
    # Found by its digest: how long that takes tells nothing of the names there are.
    return hashlib.sha256(presented.encode()).digest()
