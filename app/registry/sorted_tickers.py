from bisect import bisect_left, bisect_right
from collections.abc import Iterator

RUN_LENGTH = 512


class SortedTickers:
    """Tickers in order, in short runs: one more, one less or a page costs microseconds, however many there are."""

    def __init__(self) -> None:
        self._runs: list[list[str]] = []  # bounded by the tickers in it
        self._lasts: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """In order. What comes and goes meanwhile may be met or not; what stays is met once."""
        page = self.page(None, RUN_LENGTH)
        while page:
            yield from page
            page = self.page(page[-1], RUN_LENGTH)

    def page(self, after: str | None, limit: int) -> list[str]:
        number = 0 if after is None else bisect_right(self._lasts, after)
        found: list[str] = []
        while number < len(self._runs) and len(found) < limit:
            run = self._runs[number]
            start = 0 if found or after is None else bisect_right(run, after)
            found += run[start : start + limit - len(found)]
            number += 1
        return found

    def add(self, ticker: str) -> None:
        if not self._runs:
            self._runs.append([])
            self._lasts.append(ticker)
        number = min(bisect_left(self._lasts, ticker), len(self._runs) - 1)
        run = self._runs[number]
        position = bisect_left(run, ticker)
        if position < len(run) and run[position] == ticker:
            return
        run.insert(position, ticker)
        self._count += 1
        self._lasts[number] = run[-1]
        if len(run) > 2 * RUN_LENGTH:
            self._split(number)

    def discard(self, ticker: str) -> None:
        number = bisect_left(self._lasts, ticker)
        if number == len(self._runs):
            return
        run = self._runs[number]
        position = bisect_left(run, ticker)
        if position == len(run) or run[position] != ticker:
            return
        del run[position]
        self._count -= 1
        if run:
            self._lasts[number] = run[-1]
        else:
            del self._runs[number], self._lasts[number]

    def _split(self, number: int) -> None:
        run = self._runs[number]
        self._runs[number : number + 1] = [run[:RUN_LENGTH], run[RUN_LENGTH:]]
        self._lasts[number : number + 1] = [run[RUN_LENGTH - 1], run[-1]]
