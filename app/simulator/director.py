"""Advances the exchange with its clock, and carries out planned actions at their exact moments.

In: the clock and the planned actions. Out: every change, recorded in the history and published to the hub.
An action takes place between two changes, so that the same plan yields the same history in every run.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import gevent

from app.simulator.market.changes import Change, SimLifecycle
from app.simulator.market.exchange import Exchange
from app.simulator.market.lifecycle import is_close
from app.simulator.market.random import draw
from app.simulator.runtime import Clock
from app.simulator.websocket.hub import Hub

TICK_SECONDS = 0.005
SLICE_US = 5_000
# After a close the exchange shows the empty book 0.5 to 2.6 seconds later, and once more after about six.
SHOWN_AFTER_US = range(500_000, 2_600_000)
SHOWN_AGAIN_AFTER_US = 6_000_000


class History(Protocol):
    """The record of all changes."""

    def history(self, change: Change) -> int:
        """Record a change. Return its ordinal."""


class PlannedAction(NamedTuple):
    """A planned action; `number` keeps actions of one moment in their order."""

    at_us: int
    number: int
    action: Callable[[], object]


class Director:
    """The loop that advances the exchange."""

    def __init__(self, exchange: Exchange, hub: Hub, history: History, clock: Clock) -> None:
        self._exchange = exchange
        self._hub = hub
        self._history = history
        self._clock = clock
        self._actions: list[PlannedAction] = []
        self._numbers = itertools.count()
        self.told_until_us = clock.start_us
        self.told_changes = 0
        self._is_over = False

    def at(self, at_us: int, action: Callable[[], object]) -> None:
        heapq.heappush(self._actions, PlannedAction(at_us, next(self._numbers), action))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        # Relative to the moment already published, not to the clock: under a plan the same history follows every time.
        self.at(self.told_until_us + int(seconds * 1_000_000), action)

    def end(self) -> None:
        """Stop the history at the moment already published, however far the clock has advanced."""
        self._is_over = True

    def run(self) -> None:
        while not self._is_over:
            self.step(self._clock.now_us())
            gevent.sleep(TICK_SECONDS)

    def step(self, now_us: int) -> None:
        while self._actions and self._actions[0].at_us <= now_us:
            act = heapq.heappop(self._actions)
            self._publish_until(act.at_us)
            act.action()
            if self._is_over:
                return
        self._publish_until(now_us)

    def _publish_until(self, until_us: int) -> None:
        """Publish the history up to a moment, in slices, letting other greenlets run in between."""
        while self.told_until_us < until_us:
            self._publish_slice(min(until_us, self.told_until_us + SLICE_US))
            gevent.sleep(0)

    def _plan_empty_books(self, change: SimLifecycle) -> None:
        """Have the empty book of a closed market shown twice."""
        if not self._exchange.catalog.profile.empties_at_close:
            return
        bits = draw(self._exchange.catalog.seed, change.at_us)
        for after_us in (SHOWN_AFTER_US[bits % len(SHOWN_AFTER_US)], SHOWN_AGAIN_AFTER_US):
            self.at(change.at_us + after_us, partial(self._hub.show_empty_books, change.ticker))

    def _publish_slice(self, until_us: int) -> None:
        # Without switching greenlets: books already hold the whole slice, and a snapshot in between would show changes
        # that are not published yet.
        for change in self._exchange.advance(until_us):
            self._hub.publish(change, self._history.history(change))
            self.told_changes += 1
            if isinstance(change, SimLifecycle) and is_close(change):
                self._plan_empty_books(change)
        self.told_until_us = until_us
