"""The number `nth` that separates identical changes of a market at one moment.

It is part of a row's identity, and has to be equal on every connection without any exchange between them.
"""

from collections.abc import Callable, Hashable

from app.normalize.values import UnfitMessageError

# One action of the exchange changes each level of a market once or a few times; far more means a broken clock.
MOST_CHANGES_OF_A_MOMENT = 100_000

Counts = dict[Hashable, int]
# A moment, its first change, and the counts if there were several changes; then the same of the moment before.
Seen = tuple[int, Hashable, Counts | None, tuple[int, Hashable, Counts | None] | None]


class Occurrences:
    """Count, on one connection, how many identical changes of a market came before one at the same moment.

    The number is part of a change's identity. It depends only on the market's own changes in their order, which is the
    same on every connection; so connections that received the same changes agree without comparing.

    The latest two moments of each market are remembered, since a frame may arrive after the one that follows it. Memory
    is bounded: it has two halves of `capacity` markets, and when the younger half is full the older one is forgotten.
    So a market is remembered at least until `capacity` other markets have changed.
    """

    def __init__(self, capacity: int, on_clock_back: Callable[[str], None] = lambda _: None) -> None:
        self._capacity = capacity
        self._on_return = on_clock_back  # called with a market whose moments went back
        self._younger: dict[str, Seen] = {}
        self._older: dict[str, Seen] = {}

    def nth(self, ticker: str, moment: int, change: Hashable) -> int:
        """Return how many identical changes of the market came before this one at the same moment."""
        seen = self._younger.get(ticker)
        if seen is None:
            seen = self._move_to_younger(ticker)
        if seen is None:
            self._younger[ticker] = (moment, change, None, None)
            return 0
        latest, first, counts, before = seen
        if latest == moment:
            counts = _counts(first, counts)
            self._younger[ticker] = (moment, first, counts, before)
            return _count(ticker, counts, change)
        if before is not None and before[0] == moment:
            late_counts = _counts(before[1], before[2])
            self._younger[ticker] = (latest, first, counts, (moment, before[1], late_counts))
            return _count(ticker, late_counts, change)
        if moment < latest:
            self._on_return(ticker)
        self._younger[ticker] = (moment, change, None, (latest, first, counts))
        return 0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def _move_to_younger(self, ticker: str) -> Seen | None:
        """Return what is remembered of a market, moved to the younger half; None if it is unknown.

        If the younger half is full, it becomes the older one, whose markets are forgotten.
        """
        seen = self._older.pop(ticker, None)
        if len(self._younger) >= self._capacity:
            self._older, self._younger = self._younger, {}
        if seen is not None:
            self._younger[ticker] = seen
        return seen


def _counts(first: Hashable, counts: Counts | None) -> Counts:
    """Return the counts of a moment, created with its second change: most moments hold one change and need none."""
    return {first: 1} if counts is None else counts


def _count(ticker: str, counts: Counts, change: Hashable) -> int:
    if len(counts) >= MOST_CHANGES_OF_A_MOMENT and change not in counts:
        raise UnfitMessageError(f"{ticker} changed in {len(counts)} ways at one time: its clock does not advance")
    before = counts.get(change, 0)
    counts[change] = before + 1
    return before
