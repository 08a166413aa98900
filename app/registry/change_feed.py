from collections.abc import Iterable
from typing import Protocol

import gevent.queue

from app.metrics.registry import CHANGES
from app.registry.change import MarketChange
from app.stopping import StoppedError, Stopping

CHANGE_BUFFER_SIZE = 1_000
LOOK_UP_SECONDS = 1


class ChangeQueue(Protocol):
    """gevent's bounded queue."""

    def get(self, block: bool = True, timeout: float | None = None) -> MarketChange: ...

    def put(self, item: MarketChange, block: bool = True, timeout: float | None = None) -> None: ...


def new_queue() -> ChangeQueue:
    queue: ChangeQueue = gevent.queue.Queue(CHANGE_BUFFER_SIZE)
    return queue


class ChangeFeed:
    """Changes to all who subscribed, each in the order in which they happened. Who is slow is waited for."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._queues: list[ChangeQueue] = []  # bounded by the parts of the process

    def subscribe(self) -> ChangeQueue:
        """Return a queue for all changes that are published from now on."""
        queue = new_queue()
        self._queues.append(queue)
        return queue

    def introduce(self, queue: ChangeQueue, introductions: Iterable[MarketChange]) -> None:
        """Put these into the queue, then all changes that are published from then on."""
        for change in introductions:
            self._put(queue, change)
        self._queues.append(queue)

    def publish(self, changes: Iterable[MarketChange]) -> None:
        for change in changes:
            CHANGES.labels(change.event_type).inc()
            for queue in self._queues:
                self._put(queue, change)

    def _put(self, queue: ChangeQueue, change: MarketChange) -> None:
        is_waiting = True
        while is_waiting:
            try:
                queue.put(change, timeout=LOOK_UP_SECONDS)
                is_waiting = False
            except gevent.queue.Full:
                # Whoever should take it may have stopped already.
                if self._stopping.is_set():
                    raise StoppedError from None
