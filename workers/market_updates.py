from app import logs
from app.metrics.registry import SYNCED
from app.registry.intake import Intake
from app.registry.market_reading import MarketReading
from app.stopping import Stopping
from workers.component import Component

log = logs.get(__name__)

SECOND_US = 1_000_000
# Our clock and the exchange's may differ, and answers come through a cache.
OVERLAP_SECONDS = 300
# A market that was created just before the first walk is told of by nobody, and REST may not have shown it yet.
FIRST_SECONDS = 60


class MarketUpdates:
    """Asks every interval which markets changed, whatever the stream told."""

    def __init__(self, reading: MarketReading, intake: Intake, interval_seconds: float, stopping: Stopping) -> None:
        self.component = Component("market_updates", stopping)
        self._reading = reading
        self._intake = intake
        self._interval_seconds = interval_seconds
        self._stopping = stopping
        self._complete_until_us = intake.now_us()

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> None:
        started_us = self._intake.now_us()
        since_seconds = self._complete_until_us // SECOND_US - OVERLAP_SECONDS
        count = self._reading.read_changed_since(since_seconds)
        self._complete_until_us = started_us
        SYNCED.labels("market_updates").set_to_current_time()
        log.info("market updates read", markets=count)

    def _loop(self) -> None:
        pause_seconds = min(FIRST_SECONDS, self._interval_seconds)
        while not self._stopping.wait(pause_seconds):
            self.component.tries(self.step)
            pause_seconds = self._interval_seconds
