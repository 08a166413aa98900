import gevent.event

from app import logs
from app.clock import now_us
from app.normal.times import SECOND_US
from app.registry.market_reading import MarketReading
from app.registry.settlements_since import SettlementsSince
from app.stopping import Stopping, pause
from workers.component import Component

log = logs.get(__name__)

RETRY_SECONDS = 10
LOOK_SECONDS = 1


class MissedSettlements:
    """Asks once which markets settled since the last run. A walk leaves settled ones out: those that settled, or even
    began, while nobody recorded would stay what they were, or unknown."""

    def __init__(
        self,
        reading: MarketReading,
        since: SettlementsSince,
        walk_seconds: float,
        markets_walked: gevent.event.Event,
        stopping: Stopping,
    ) -> None:
        self.component = Component("missed_settlements", stopping)
        self._reading = reading
        self._since = since
        self._walk_seconds = walk_seconds
        self._markets_walked = markets_walked
        self._stopping = stopping

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        last_us = self._since.read_us()
        if last_us is None:
            return
        while not self._markets_walked.wait(1):
            pause(self._stopping, 0)
        # What the stream did not tell the last run, its next walk would have.
        since_seconds = last_us // SECOND_US - int(self._walk_seconds)
        while not self.component.tries(lambda: self._read(since_seconds)):
            pause(self._stopping, RETRY_SECONDS)
        read_us = now_us()
        while not self._since.are_stored(read_us):
            pause(self._stopping, LOOK_SECONDS)
        self._since.settle()

    def _read(self, since_seconds: int) -> None:
        log.info("missed settlements read", markets=self._reading.read_settled_since(since_seconds))
