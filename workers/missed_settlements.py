from collections.abc import Callable

import gevent.event

from app import logs
from app.registry.market_reading import MarketReading
from app.stopping import Stopping, pause
from workers.component import Component

log = logs.get(__name__)

RETRY_SECONDS = 10
SECOND_US = 1_000_000


class MissedSettlements:
    """Asks once which markets settled since the last run. A walk leaves settled ones out: those that settled, or even
    began, while nobody recorded would stay what they were, or unknown."""

    def __init__(
        self,
        reading: MarketReading,
        last_recorded_us: Callable[[], int | None],
        walk_seconds: float,
        markets_walked: gevent.event.Event,
        stopping: Stopping,
    ) -> None:
        self.component = Component("missed_settlements")
        self._reading = reading
        self._last_recorded_us = last_recorded_us
        self._walk_seconds = walk_seconds
        self._markets_walked = markets_walked
        self._stopping = stopping

    def run(self) -> None:
        self.component.run(self._loop)

    def _loop(self) -> None:
        while not self._markets_walked.wait(1):
            pause(self._stopping, 0)
        last_us = self._last_recorded_us()
        if last_us is None:
            return
        # What the stream did not tell the last run, its next walk would have.
        since_seconds = last_us // SECOND_US - int(self._walk_seconds)
        while not self.component.tries(lambda: self._read(since_seconds)):
            pause(self._stopping, RETRY_SECONDS)

    def _read(self, since_seconds: int) -> None:
        log.info("missed settlements read", markets=self._reading.read_settled_since(since_seconds))
