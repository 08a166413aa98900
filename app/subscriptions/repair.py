from collections.abc import Iterable

from app.subscriptions.book_markets import SILENCE_US, due, first
from app.subscriptions.journal import Gap, Journal
from app.subscriptions.patience import SECOND_US
from app.subscriptions.roles import BOOK_CHANNEL

UNREADABLE = "unreadable"
BOOKS_PER_COMMAND = 100
ASKED_BOOKS = 1_000
UNREADABLE_US = 60 * SECOND_US


class Repair:
    """What books lack since something was lost, until each has had its snapshot again: then the gaps are closed."""

    def __init__(self, journal: Journal) -> None:
        self.lacking: set[str] = set()
        self._journal = journal
        self._gaps: dict[tuple[str, int], Gap] = {}
        self._to_ask: dict[str, None] = {}
        self._asked: dict[str, int] = {}  # until when the answer is expected
        self._is_partial = False
        self._ask_from_us = 0
        self._unreadable_us = 0
        self._resumed_us = 0  # when the latest book came that is gone on from
        self._claimed_us = 0  # up to when a market was listened to that has left

    @property
    def is_open(self) -> bool:
        return bool(self._gaps)

    @property
    def started_us(self) -> int:
        return min(gap.started_us for gap in self._gaps.values())

    def begin(self, cause: str, sid: int, started_us: int, lacking: Iterable[str], missing: int | None = None) -> None:
        self.lacking = set(lacking)
        gap = self._gaps.get((cause, sid))
        if gap is None:
            markets = len(self.lacking)
            gap = self._journal.open_gap(BOOK_CHANNEL, cause, started_us, sid=sid, markets=markets, missing=missing)
        elif missing is not None:
            gap = gap._replace(missing=missing + (gap.missing or 0))
        self._gaps[cause, sid] = gap

    def ask_for(self, tickers: Iterable[str]) -> None:
        """By themselves, not by joining again; what has been asked for since the loss or before is on its way."""
        self._to_ask = {ticker: None for ticker in tickers if ticker not in self._asked}

    def ask_later(self, now_us: int) -> None:
        """A frame that says something we cannot read may well come again and again."""
        self._ask_from_us = max(now_us, self._unreadable_us + UNREADABLE_US)
        self._unreadable_us = self._ask_from_us

    def forget_questions(self) -> None:
        self._to_ask.clear()
        self._asked.clear()

    def next_to_ask(self, now_us: int) -> list[str]:
        if now_us < self._ask_from_us or len(self._asked) > ASKED_BOOKS - BOOKS_PER_COMMAND:
            return []
        tickers = first(self._to_ask, BOOKS_PER_COMMAND)
        self._asked.update(dict.fromkeys(tickers, now_us + SILENCE_US))
        return tickers

    def not_asked(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            if self._asked.pop(ticker, None) is not None:
                self._to_ask[ticker] = None

    def missed(self, now_us: int) -> list[str]:
        """Those whose answer should have come."""
        missed = due(self._asked, now_us)
        for ticker in missed:
            del self._asked[ticker]
        return missed

    def begin_after_end(self, cause: str, sid: int, started_us: int, lacking: Iterable[str]) -> None:
        """All of them, or else the last that left when the subscription may have been dead already."""
        if lacking or self._claimed_us > started_us:
            self.begin(cause, sid, started_us, lacking)
        if not lacking and self.is_open:
            self._resumed_us = max(self._resumed_us, self._claimed_us)
            self.close()
        self._claimed_us = 0

    def heard_until_us(self, ticker: str, now_us: int) -> int:
        """Of one that leaves now."""
        if ticker in self.lacking:
            return self.started_us
        self._claimed_us = max(self._claimed_us, now_us)
        return now_us

    def heard(self, ticker: str, received_us: int = 0) -> None:
        self._resumed_us = max(self._resumed_us, received_us)
        self.lacking.discard(ticker)
        self._to_ask.pop(ticker, None)
        self._asked.pop(ticker, None)

    def give_up(self, ticker: str) -> None:
        self.heard(ticker)
        self._is_partial = True

    def close(self) -> bool:
        """When nothing lacks any more: the last book was heard again, or has left. True if all of the subscription can
        be trusted again."""
        for gap in self._gaps.values():
            self._journal.close_gap(gap, self._resumed_us)
        self._resumed_us = 0
        self._gaps.clear()
        was_complete, self._is_partial = not self._is_partial, False
        return was_complete
