from bisect import bisect_left
from collections.abc import Iterator

from app.simulator.changes import Trade

KEPT = 200_000


class RecentTrades:
    """The latest trades of the whole exchange, up to a fixed number; older ones are forgotten.

    Trades are numbered as they come, so that a number is a place to continue from.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._ring: list[Trade] = []
        self.count = 0

    def add(self, trade: Trade) -> None:
        if len(self._ring) < self._kept:
            self._ring.append(trade)
        else:
            self._ring[self.count % self._kept] = trade
        self.count += 1

    @property
    def oldest(self) -> int:
        return max(0, self.count - self._kept)

    def __getitem__(self, number: int) -> Trade:
        if not self.oldest <= number < self.count:
            raise IndexError(number)
        return self._ring[number % self._kept]

    def newest_first(
        self, market: int | None = None, min_us: int = 0, max_us: int | None = None, before: int | None = None
    ) -> Iterator[tuple[int, Trade]]:
        """Trades with their numbers, of min_us <= time < max_us, below a number."""
        number = self.count if before is None else min(before, self.count)
        if max_us is not None:
            number = min(number, self._first_at(max_us))
        while number > self.oldest:
            number -= 1
            trade = self[number]
            if trade.at_us < min_us:
                return
            if market is None or trade.market == market:
                yield number, trade

    def _first_at(self, at_us: int) -> int:
        return bisect_left(range(self.count), at_us, lo=self.oldest, key=lambda number: self[number].at_us)
