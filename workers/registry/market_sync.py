"""The workers that keep markets complete by REST, whatever the stream delivered.

`MarketSync` walks through all unsettled markets, `MarketUpdates` reads what changed, and `MissedSettlements` reads once
after the first walk which markets settled while no gatherer ran.
In: pages of markets. Out: changes of the registry and rows of markets.
"""

from collections.abc import Sequence
from functools import partial

import gevent

from app.markets.ingest import RegistryUpdater
from app.markets.sync import MarketReader, MarketsPart, SettlementsSince, read_in_halves
from app.metrics.gatherer import SYNCED
from app.normalize.values import SECOND_US
from app.runtime import logs
from app.runtime.clock import now_us, steady_seconds
from app.runtime.events import Event
from app.runtime.health import Stopping, pause
from app.status.progress import Progress
from workers.process.group import Component, Rounds
from workers.process.loop import Loop

log = logs.get(__name__)

RETRY_SECONDS = 10
SETTLED_FOR_US = 24 * 3_600_000_000
SLOTS_AT_ONCE = 5_000
ASKED_AT_ONCE = 100


class MarketSync:
    """Walk through all unsettled markets: once at the start, then every interval.

    A known market that no page contained is asked for by its name: it has settled, or it no longer exists.
    """

    def __init__(
        self,
        reading: MarketReader,
        intake: RegistryUpdater,
        interval_seconds: float,
        exchange_open: Event,
        stopping: Event,
    ) -> None:
        self.component = Component("market_walk", stopping)
        self.walked = Event()
        self.part: MarketsPart | None = None
        self._progress = Progress()
        self._reading = reading
        self._intake = intake
        self._exchange_open = exchange_open
        self._stopping = stopping
        self.rounds = Rounds(interval_seconds, stopping)

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> bool:
        """Make one walk. Return False if a part could not be read: a market that was not shown may be in that part."""
        self._intake.markets.begin_walk()
        failed = self._read(self._reading.parts)
        return not failed and self._finish()

    def words(self, walked: int) -> str:
        """Return how the first walk goes on, with so many markets read. The exchange does not tell how many it has."""
        part = self.part
        if part is None:
            return ", waiting for the exchange"
        self._progress.note(walked, steady_seconds())
        kind = "combos" if part.combos == "only" else "markets"
        number = self._reading.parts.index(part) + 1
        return f"{self._progress.words()}; {part.status} {kind}, part {number} of {len(self._reading.parts)}"

    def _read(self, parts: Sequence[MarketsPart]) -> list[MarketsPart]:
        """Read the parts. Return the parts that could not be read; a failed one delays no other."""
        failed = [part for part in parts if not self.component.tries(partial(self._read_part, part))]
        self.part = None
        return failed

    def _read_part(self, part: MarketsPart) -> None:
        self.part = part
        log.info("markets read", **part._asdict(), markets=self._reading.read_part(part))

    def _finish(self) -> bool:
        """Ask for the markets that the walk did not show. Return False if that failed."""
        is_done = self.component.tries(self._sweep)
        if is_done:
            SYNCED.labels("markets").set_to_current_time()
        return is_done

    def _loop(self) -> None:
        while not self._exchange_open.wait(1):
            pause(self._stopping, 0)
        self._first_walk()
        # A loop of its own: a round may be requested before it is due.
        while self.rounds.wait():
            self.step()

    def _first_walk(self) -> None:
        """Make the first walk, repeating failed parts until all are read: the other workers begin after it."""
        self._intake.markets.begin_walk()
        remaining: Sequence[MarketsPart] = self._reading.parts
        while remaining := self._read(remaining):
            self.part = remaining[0]
            pause(self._stopping, RETRY_SECONDS)
        self._finish()
        self.walked.set()

    def _sweep(self) -> None:
        """Ask by name for the markets that the walk did not show, and for settlements only the stream announced."""
        markets = self._intake.markets
        for first in range(0, markets.slots, SLOTS_AT_ONCE):
            slots = range(first, min(first + SLOTS_AT_ONCE, markets.slots))
            unseen = markets.sweep(slots, self._intake.now_us() - SETTLED_FOR_US)
            for start in range(0, len(unseen), ASKED_AT_ONCE):
                self._ask_for(unseen[start : start + ASKED_AT_ONCE])
            # There may be a million slots: let other greenlets run after each run of them.
            gevent.sleep(0)

    def _ask_for(self, tickers: list[str]) -> None:
        for ticker in read_in_halves(self._reading.read_named, tickers).missing(tickers):
            self._intake.vanish(ticker)


# Each round asks from this much earlier: our clock and the exchange's may differ, and answers come through a cache.
OVERLAP_SECONDS = 300
# The first round is early: a market created just before the first walk is announced no more, and the walk's pages may
# not have contained it yet.
FIRST_SECONDS = 60


class MarketUpdates:
    """Ask every interval which markets changed, whatever the stream announced."""

    def __init__(
        self, reading: MarketReader, intake: RegistryUpdater, interval_seconds: float, stopping: Stopping
    ) -> None:
        self.component = Component("market_updates", stopping)
        self._reading = reading
        self._intake = intake
        first_seconds = min(FIRST_SECONDS, interval_seconds)
        self._loop = Loop(self._try_step, interval_seconds, stopping, first_seconds=first_seconds)
        self._complete_until_us = intake.now_us()

    def run(self) -> None:
        self.component.run(self._loop.run)

    def step(self) -> None:
        started_us = self._intake.now_us()
        since_seconds = self._complete_until_us // SECOND_US - OVERLAP_SECONDS
        count = self._reading.read_changed_since(since_seconds)
        self._complete_until_us = started_us
        SYNCED.labels("market_updates").set_to_current_time()
        log.info("market updates read", markets=count)

    def _try_step(self) -> None:
        self.component.tries(self.step)


LOOK_SECONDS = 1


class MissedSettlements:
    """Read once which markets settled since the last run.

    A walk excludes settled markets. Without this, a market that settled while no gatherer ran would keep its old
    status, and one that also began in that time would stay unknown.
    """

    def __init__(
        self,
        reading: MarketReader,
        since: SettlementsSince,
        walk_seconds: float,
        markets_walked: Event,
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
        # A change that the last run's stream missed would have been found by its next walk: so start one walk earlier.
        since_seconds = last_us // SECOND_US - int(self._walk_seconds)
        while not self.component.tries(lambda: self._read(since_seconds)):
            pause(self._stopping, RETRY_SECONDS)
        read_us = now_us()
        while not self._since.are_stored(read_us):
            pause(self._stopping, LOOK_SECONDS)
        # The starting point is forgotten only once the rows are stored: a crash before that repeats the read.
        self._since.settle()

    def _read(self, since_seconds: int) -> None:
        log.info("markets settled during the outage read", markets=self._reading.read_settled_since(since_seconds))
