from collections.abc import Sequence
from functools import partial

import gevent
import gevent.event

from app import logs
from app.metrics.registry import SYNCED
from app.registry.intake import Intake
from app.registry.market_reading import MarketReading, Part
from app.registry.named_reading import read_in_halves
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

    def step(self) -> bool:
        """Make one walk. Return False if some part of it could not be read: who was not shown then may be there."""
        self._intake.markets.begin_walk()
        failed = self._read(self._reading.parts)
        return not failed and self._finish()

    def _read(self, parts: Sequence[Part]) -> list[Part]:
        """Return those that could not be read; they keep no other part waiting."""
        failed = [part for part in parts if not self.component.tries(partial(self._read_part, part))]
        self.part = None
        return failed

    def _read_part(self, part: Part) -> None:
        self.part = part
        log.info("markets walked", **part._asdict(), markets=self._reading.read_part(part))

    def _finish(self) -> bool:
        is_done = self.component.tries(self._sweep)
        if is_done:
            SYNCED.labels("markets").set_to_current_time()
        return is_done

    def _loop(self) -> None:
        while not self._exchange_open.wait(1):
            pause(self._stopping, 0)
        self._first_walk()
        while self.rounds.wait():
            self.step()

    def _first_walk(self) -> None:
        """Nothing else begins before it: what failed is repeated until all parts are read."""
        self._intake.markets.begin_walk()
        remaining: Sequence[Part] = self._reading.parts
        while remaining := self._read(remaining):
            self.part = remaining[0]
            pause(self._stopping, RETRY_SECONDS)
        self._finish()
        self.walked.set()

    def _sweep(self) -> None:
        markets = self._intake.markets
        for first in range(0, markets.slots, SLOTS_AT_ONCE):
            slots = range(first, min(first + SLOTS_AT_ONCE, markets.slots))
            unseen = markets.sweep(slots, self._intake.now_us() - SETTLED_FOR_US)
            for start in range(0, len(unseen), ASKED_AT_ONCE):
                self._ask_for(unseen[start : start + ASKED_AT_ONCE])
            gevent.sleep(0)

    def _ask_for(self, tickers: list[str]) -> None:
        for ticker in read_in_halves(self._reading.read_named, tickers).missing(tickers):
            self._intake.vanish(ticker)
