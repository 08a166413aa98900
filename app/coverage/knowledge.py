"""Up to when it is known what was heard: before, a gatherer may still bring what looks like a hole."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

PATIENCE = timedelta(minutes=10)


class RunState(NamedTuple):
    started_us: int
    recorded_us: int
    delivered_us: int | None  # None: nothing of it is in production yet
    has_ended: bool

    @property
    def known_us(self) -> int:
        return self.started_us if self.delivered_us is None else self.delivered_us

    @property
    def is_delivered(self) -> bool:
        return self.known_us >= self.recorded_us


class GathererState(NamedTuple):
    contacted_us: int  # when its journal was last read
    runs: list[RunState]

    def awaited_runs(self, oldest_us: int) -> Iterator[RunState]:
        """Those that may still bring something. A run that another one followed is over, however it ended."""
        latest = max(self.runs, key=lambda run: run.started_us, default=None)
        for run in self.runs:
            is_going_on = run is latest and not run.has_ended and run.recorded_us > oldest_us
            if is_going_on or not run.is_delivered:
                yield run


def known_until_us(gatherers: Iterable[GathererState], now_us: int, patience_us: int) -> int:
    """Who was not heard of for longer than our patience is not waited for: what it brings later is judged then."""
    oldest_us = now_us - patience_us
    awaited = [
        run.known_us
        for gatherer in gatherers
        if gatherer.contacted_us > oldest_us
        for run in gatherer.awaited_runs(oldest_us)
    ]
    return min(awaited, default=oldest_us)
