import gevent

from app.metrics.registry import MARKETS
from app.registry.intake import Intake
from app.registry.rereads import Rereads
from app.stopping import Stopping
from workers.component import Component

IDLE_SECONDS = 0.5
TURNS_AT_ONCE = 50


class MarketClock:
    """Opens and closes markets when their time has come, for nobody says so, and lets REST confirm it."""

    def __init__(self, intake: Intake, rereads: Rereads, stopping: Stopping) -> None:
        self.component = Component("market_clock", stopping)
        self._intake = intake
        self._rereads = rereads
        self._stopping = stopping

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> bool:
        """Whether more may be due."""
        for _ in range(TURNS_AT_ONCE):
            change = self._intake.turn()
            if change is None:
                return False
            if change.old_status != change.new_status:
                self._rereads.confirm(change.ticker)
        return True

    def _loop(self) -> None:
        while not self._stopping.is_set():
            if self.step():
                gevent.sleep(0)
            else:
                self._tell_sizes()
                self._stopping.wait(IDLE_SECONDS)

    def _tell_sizes(self) -> None:
        for status, count in self._intake.markets.counts.items():
            MARKETS.labels(status).set(count)
