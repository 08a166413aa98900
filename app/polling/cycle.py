from collections.abc import Callable, Iterable

from app.kalshi.batches import ticker_batches


class Cycle:
    """One walk over the active markets of a class, each exactly once.

    What belongs to it is decided on the way, so that a million markets cost nothing at the start. A market that is no
    longer active when its turn comes is left out; one that became active meanwhile waits for the next walk.
    """

    def __init__(self, tickers: Iterable[str], is_active: Callable[[str], bool], started_seconds: float) -> None:
        self.started_seconds = started_seconds
        self.ended_seconds: float | None = None
        self.markets = 0
        self._batches = ticker_batches(filter(is_active, tickers))
        self._is_exhausted = False
        self._in_flight = 0

    def next_batch(self) -> list[str]:
        """As many as one request may name; none when all were given out. Each batch is to be reported as done."""
        batch = next(self._batches, [])
        self._is_exhausted = not batch
        self._in_flight += bool(batch)
        return batch

    def done(self, batch: list[str]) -> None:
        self._in_flight -= 1
        self.markets += len(batch)

    def ends(self, now_seconds: float) -> bool:
        """True once: when the last of the batches is done."""
        if self.ended_seconds is not None or self._in_flight or not self._is_exhausted:
            return False
        self.ended_seconds = now_seconds
        return True

    @property
    def has_more(self) -> bool:
        return not self._is_exhausted
