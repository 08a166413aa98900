from collections.abc import Iterable

from app.subscriptions.patience import SECOND_US

BOOKS_PER_COMMAND = 10
HURRIED_BOOKS = 100


class Refresh:
    """Whose book is asked for anew: each about once in an interval, spread evenly over it."""

    def __init__(self, interval_seconds: int) -> None:
        self._interval_us = interval_seconds * SECOND_US
        self._next_us = 0
        self._turn: list[str] = []
        self._hurried: dict[str, None] = {}

    def start(self, now_us: int, place: int) -> None:
        """Sockets in different places do not ask at the same time."""
        self._next_us = now_us + self._interval_us * (1 + place % 10) // 100
        self._turn = []
        self._hurried.clear()

    def hurry(self, tickers: Iterable[str]) -> None:
        """These are due at once."""
        self._hurried.update(dict.fromkeys(tickers))

    def due(self, tickers: Iterable[str], count: int, now_us: int) -> list[str]:
        """Some that may have gone in the meantime; at most a command's worth."""
        if self._hurried:
            return [self._hurried.popitem()[0] for _ in range(min(len(self._hurried), HURRIED_BOOKS))]
        if now_us < self._next_us or not count:
            return []
        if not self._turn:
            self._turn = list(tickers)
        taken, self._turn = self._turn[-BOOKS_PER_COMMAND:], self._turn[:-BOOKS_PER_COMMAND]
        self._next_us = now_us + self._interval_us * len(taken) // count
        return taken
