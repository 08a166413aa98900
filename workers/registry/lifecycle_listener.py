"""Lifecycle messages on their way into the registry, and the refetching of what they announce.

In: frames of the lifecycle channels, from two connections. Out: changes of the registry, and objects refetched by REST.
"""

from collections.abc import Callable

import gevent
import gevent.queue

from app.kalshi.messages import LIFECYCLE_MESSAGES, ComboLifecycle, decode
from app.kalshi.rest_client import BOOKS_PER_CALL
from app.markets.ingest import RegistryUpdater
from app.markets.lifecycle import Announcement, announcement_of
from app.markets.refetch_queue import RefetchQueue, Wait
from app.markets.sync import Answered, ReadNamed, read_in_halves
from app.metrics.gatherer import ANNOUNCEMENTS, WAITING
from app.runtime.health import Stopping
from workers.process.group import Component
from workers.process.loop import Loop

LOOK_UP_SECONDS = 1
FRAMES_AT_ONCE = 50


class LifecycleListener:
    """Apply the lifecycle messages of markets and events to the registry.

    Two connections carry them, so each arrives twice; the second copy changes nothing.
    """

    def __init__(
        self, intake: RegistryUpdater, markets: RefetchQueue, events: RefetchQueue, stopping: Stopping, *, combos: bool
    ) -> None:
        self.component = Component("lifecycle_listener", stopping)
        self.source: gevent.queue.Queue | None = None
        self._intake = intake
        self._markets = markets
        self._events = events
        self._stopping = stopping
        self._combos = combos

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self, source: gevent.queue.Queue) -> bool:
        """Apply the frames waiting in the queue, up to a batch. Return True if there may be more."""
        try:
            self.hear(source.get(timeout=LOOK_UP_SECONDS))
            for _ in range(FRAMES_AT_ONCE - 1):
                self.hear(source.get(block=False))
        except gevent.queue.Empty:
            return False
        return True

    def hear(self, frame: bytes) -> None:
        """Apply one frame. Other messages are ignored, and so are combos' if they are not recorded."""
        message = decode(frame)
        if not isinstance(message, LIFECYCLE_MESSAGES) or (isinstance(message, ComboLifecycle) and not self._combos):
            return
        ANNOUNCEMENTS.inc()
        told = announcement_of(message)
        if told is not None:
            self._follow(told)

    def _follow(self, told: Announcement) -> None:
        if told.market_ticker:
            self._intake.apply_announcement(told)
            self._markets.want(told.market_ticker)
        event_ticker = told.event_ticker or told.additional_metadata.event_ticker
        if event_ticker:
            self._events.want(event_ticker)

    def _loop(self) -> None:
        # A loop of its own: each step itself waits at the queue, and never between two batches of frames.
        while not self._stopping.is_set():
            if self.source is None:
                self._stopping.wait(LOOK_UP_SECONDS)
            elif self.step(self.source):
                gevent.sleep(0)


FRAMES = 10_000


class LifecycleFrames:
    """Hand-over of lifecycle frames from the sockets to the registry. It blocks while the registry is busy."""

    def __init__(self, stopping: Stopping) -> None:
        self.queue: gevent.queue.Queue = gevent.queue.Queue(FRAMES)
        self._stopping = stopping

    def put(self, frame: bytes) -> None:
        # A loop of its own: it waits for room in the queue. The reader may have stopped already. Frames dropped then
        # are no loss: the next start reads every market again.
        while not self._stopping.is_set():
            try:
                self.queue.put(frame, timeout=LOOK_UP_SECONDS)
            except gevent.queue.Full:
                continue
            return


IDLE_SECONDS = 0.2
TICKERS_AT_ONCE = BOOKS_PER_CALL


class Refetcher:
    """Fetch by REST the markets, or the events, that lifecycle messages were about."""

    def __init__(
        self,
        kind: str,
        rereads: RefetchQueue,
        read_named: ReadNamed,
        stopping: Stopping,
        on_left: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.component = Component(f"{kind}_rereader", stopping)
        self._waiting = WAITING.labels(kind)
        self._rereads = rereads
        self._read_named = read_named
        self._loop = Loop(self.step, IDLE_SECONDS, stopping)
        self._on_left = on_left

    def run(self) -> None:
        self.component.run(self._loop.run)

    def step(self) -> bool:
        """Fetch the objects that are due, up to one request's worth. Return True if there may be more."""
        taken = self._rereads.take(TICKERS_AT_ONCE)
        self._waiting.set(len(self._rereads))
        if not taken:
            return False
        answers: list[Answered] = []
        is_done = False
        try:
            is_done = self.component.tries(lambda: answers.append(read_in_halves(self._read_named, list(taken))))
        finally:
            if is_done:
                self._settle(taken, answers[0])
            else:
                self._rereads.put_back(taken)
        return len(taken) == TICKERS_AT_ONCE

    def _settle(self, taken: dict[str, Wait], answered: Answered) -> None:
        refused = {ticker: wait for ticker, wait in taken.items() if ticker in answered.refused}
        self._rereads.put_back(refused)
        left = self._rereads.settle({ticker: taken[ticker] for ticker in taken.keys() - refused}, answered.found)
        for ticker in left:
            self._on_left(ticker)
