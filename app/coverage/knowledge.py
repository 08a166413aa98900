"""Up to when it is known what was heard: before, a gatherer may still bring what looks like a hole."""

from collections.abc import Iterable
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


def known_until_us(gatherers: Iterable[GathererState], now_us: int, patience_us: int) -> int:
    """Who was not heard of for longer than our patience is not waited for: what it brings later is judged then."""
    oldest_us = now_us - patience_us
    awaited = [
        run.known_us
        for gatherer in gatherers
        if gatherer.contacted_us > oldest_us
        for run in gatherer.runs
        if not run.is_delivered or (not run.has_ended and run.recorded_us > oldest_us)
    ]
    return min(awaited, default=oldest_us)
