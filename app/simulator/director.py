"""Lets the exchange happen in its time, and what is planned to befall it at its exact moments."""

import heapq
import itertools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import gevent

from app.simulator.market.changes import Change
from app.simulator.market.exchange import Exchange
from app.simulator.runtime import Clock
from app.simulator.websocket.hub import Hub

TICK_SECONDS = 0.005
SLICE_US = 5_000


class History(Protocol):
    def history(self, change: Change) -> int:
        """The change's ordinal, from now on."""


class Act(NamedTuple):
    at_us: int
    number: int
    action: Callable[[], object]


class Director:
    def __init__(self, exchange: Exchange, hub: Hub, history: History, clock: Clock) -> None:
        self._exchange = exchange
        self._hub = hub
        self._history = history
        self._clock = clock
        self._acts: list[Act] = []
        self._numbers = itertools.count()
        self.told_until_us = clock.start_us
        self.told_changes = 0
        self._is_over = False

    def at(self, at_us: int, action: Callable[[], object]) -> None:
        heapq.heappush(self._acts, Act(at_us, next(self._numbers), action))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        # From the moment that has been told, not from now: under a plan the same history follows every time.
        self.at(self.told_until_us + int(seconds * 1_000_000), action)

    def end(self) -> None:
        """Nothing happens after the moment that has been told, however late it is by the clock."""
        self._is_over = True

    def run(self) -> None:
        while not self._is_over:
            self.step(self._clock.now_us())
            gevent.sleep(TICK_SECONDS)

    def step(self, now_us: int) -> None:
        while self._acts and self._acts[0].at_us <= now_us:
            act = heapq.heappop(self._acts)
            self._tell(act.at_us)
            act.action()
            if self._is_over:
                return
        self._tell(now_us)

    def _tell(self, until_us: int) -> None:
        while self.told_until_us < until_us:
            self._tell_slice(min(until_us, self.told_until_us + SLICE_US))
            gevent.sleep(0)

    def _tell_slice(self, until_us: int) -> None:
        # Without a pause: books already hold the whole slice, and a snapshot in between would show what is yet to come.
        for change in self._exchange.advance(until_us):
            self._hub.publish(change, self._history.history(change))
            self.told_changes += 1
        self.told_until_us = until_us
