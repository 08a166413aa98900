"""The worker that reads series and events from REST: all unsettled ones once, then the changed ones.

In: event and series lists. Out: rows, and wanted events of markets whose event no list contained.
It begins after the first walk over the markets, since only then is it known which events the lists lack.
"""

import gevent

from app.markets.ingest import RegistryUpdater
from app.markets.sync import EventReader
from app.metrics.gatherer import SYNCED
from app.runtime import logs
from app.runtime.events import Event
from app.runtime.health import pause
from workers.process.group import Component, Rounds

log = logs.get(__name__)

SECOND_US = 1_000_000
# Each round asks from this much earlier: our clock and the exchange's may differ.
OVERLAP_SECONDS = 300
RETRY_SECONDS = 10
SLOTS_AT_ONCE = 5_000
# Combos' events are listed separately, without filters; so they are never fetched one by one here.
COMBO_PREFIX = "KXMVE"


class EventSync:
    """Read series and events once the markets are known, then every interval the events that changed."""

    def __init__(
        self,
        reading: EventReader,
        intake: RegistryUpdater,
        interval_seconds: float,
        markets_walked: Event,
        stopping: Event,
    ) -> None:
        self.component = Component("event_updates", stopping)
        self.read = Event()
        self._reading = reading
        self._intake = intake
        self._markets_walked = markets_walked
        self._stopping = stopping
        self._complete_until_us = intake.now_us()
        self.rounds = Rounds(interval_seconds, stopping)

    def run(self) -> None:
        self.component.run(self._loop)

    def first_step(self) -> None:
        """Read all series and unsettled events, and request the events of known markets that no list contained."""
        started_us = self._intake.now_us()
        self._intake.meets_events = True
        self._reading.read_series()
        listed = self._reading.read_unsettled()
        self._want_unlisted(listed)
        self._done(started_us)
        log.info("events read", events=len(listed))

    def step(self) -> None:
        """Read the events that changed since the last round."""
        started_us = self._intake.now_us()
        self._reading.read_updated_since(self._complete_until_us // SECOND_US - OVERLAP_SECONDS)
        self._done(started_us)

    def combos_step(self) -> None:
        """Read the events of combos. There are as many as combos, so that nothing waits for this."""
        count = self._reading.read_combos()
        log.info("combo events read", events=count)

    def _want_unlisted(self, listed: set[str]) -> None:
        markets = self._intake.markets
        for first in range(0, markets.slots, SLOTS_AT_ONCE):
            known = markets.events(range(first, min(first + SLOTS_AT_ONCE, markets.slots)))
            self._intake.want_events(ticker for ticker in known - listed if not ticker.startswith(COMBO_PREFIX))
            # There may be a million slots: let other greenlets run after each run of them.
            gevent.sleep(0)

    def _done(self, started_us: int) -> None:
        self._complete_until_us = started_us
        self.read.set()
        SYNCED.labels("events").set_to_current_time()

    def _loop(self) -> None:
        while not self._markets_walked.wait(1):
            pause(self._stopping, 0)
        while not (self.read.is_set() or self.component.tries(self.first_step)):
            pause(self._stopping, RETRY_SECONDS)
        knows_combos = self.component.tries(self.combos_step)
        # A loop of its own: a round may be requested before it is due.
        while self.rounds.wait():
            self.component.tries(self.step)
            knows_combos = knows_combos or self.component.tries(self.combos_step)
