import gevent
import gevent.event

from app import logs
from app.metrics.registry import SYNCED
from app.registry.intake import Intake
from app.registry.market_reading import MarketReading, Part
from app.stopping import pause
from workers.component import Component
from workers.rounds import Rounds

log = logs.get(__name__)

RETRY_SECONDS = 10
SETTLED_FOR_US = 24 * 3_600_000_000
SLOTS_AT_ONCE = 5_000
ASKED_AT_ONCE = 100


class MarketWalk:
    """Walks through all markets that are not settled: once at the start, then again every interval. Of those that are
    known but that no page showed, each is asked for by its name: it settled, or is no more."""

    def __init__(
        self,
        reading: MarketReading,
        intake: Intake,
        interval_seconds: float,
        exchange_open: gevent.event.Event,
        stopping: gevent.event.Event,
    ) -> None:
        self.component = Component("market_walk", stopping)
        self.walked = gevent.event.Event()
        self.part: Part | None = None
        self._reading = reading
        self._intake = intake
        self._exchange_open = exchange_open
        self._stopping = stopping
        self.rounds = Rounds(interval_seconds, stopping)

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> None:
        """One walk."""
        self._intake.markets.begin_walk()
        for part in self._reading.parts:
            self.part = part
            log.info("markets walked", **part._asdict(), markets=self._reading.read_part(part))
        self._sweep()
        self.part = None
        self.walked.set()
        SYNCED.labels("markets").set_to_current_time()

    def _loop(self) -> None:
        while not self._exchange_open.wait(1):
            pause(self._stopping, 0)
        while not self.component.tries(self.step):
            pause(self._stopping, RETRY_SECONDS)
        while self.rounds.wait():
            self.component.tries(self.step)

    def _sweep(self) -> None:
        markets = self._intake.markets
        for first in range(0, markets.slots, SLOTS_AT_ONCE):
            slots = range(first, min(first + SLOTS_AT_ONCE, markets.slots))
            unseen = markets.sweep(slots, self._intake.now_us() - SETTLED_FOR_US)
            for start in range(0, len(unseen), ASKED_AT_ONCE):
                self._ask_for(unseen[start : start + ASKED_AT_ONCE])
            gevent.sleep(0)

    def _ask_for(self, tickers: list[str]) -> None:
        found = self._reading.read_named(tickers)
        for ticker in tickers:
            if ticker not in found:
                self._intake.vanish(ticker)
