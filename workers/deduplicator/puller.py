"""Reading ahead: pullers fetch the next batch of each gatherer while the merger commits the last ones.

In: one table of each gatherer, from the merged position on. Out: at most one batch per gatherer in a `PullBuffer`.
The buffer accepts a batch only at the position where the last one ended, so that a failed merge discards what was read
ahead of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from app.merge.position import Position, Pull
from app.merge.source import GathererTable
from app.metrics.deduplicator import IS_READABLE, LAG_SECONDS
from app.runtime import logs
from app.runtime.events import Event
from app.runtime.threads import Offload
from workers.process.loop import IdlePace, Loop, database_backoff


class PulledBatches(NamedTuple):
    pulls: dict[str, Pull]
    failures: dict[str, str | None]


class PullBuffer:
    """Hand-over from the pullers to the merger: at most one batch per gatherer, all taken together.

    A batch is accepted only if it starts where the last one ended; so after a failure, what was read ahead is dropped.
    """

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}
        self._post = PulledBatches({}, {})
        self._has_post = Event()
        self._has_room = Event()

    def open(self, positions: Mapping[str, Position]) -> None:
        """Accept batches that continue from these positions. Batches still in the buffer are dropped."""
        self._positions = dict(positions)
        self._post = PulledBatches({}, {})
        self._has_post.clear()
        self._has_room.set()

    def close(self) -> None:
        """Accept no batches until it is opened again."""
        self.open({})

    def wanted(self, gatherer: str, timeout_seconds: float) -> Position | None:
        """Return the position to read from next.

        None if no merger is open, or if it has not taken the last batch in time.
        """
        if gatherer not in self._positions or gatherer in self._post.pulls:
            self._has_room.clear()
            self._has_room.wait(timeout_seconds)
        return None if gatherer in self._post.pulls else self._positions.get(gatherer)

    def put(self, gatherer: str, pull: Pull) -> None:
        """Hand over a batch. It is dropped if the buffer was reopened at another position meanwhile."""
        if self._positions.get(gatherer) == pull.after:
            self._positions[gatherer] = pull.through
            self._post.pulls[gatherer] = pull
            self._has_post.set()

    def put_failure(self, gatherer: str, failure: str | None) -> None:
        """Hand over why the gatherer cannot be read; None means that it can be again."""
        if gatherer in self._positions:
            self._post.failures[gatherer] = failure
            self._has_post.set()

    def take(self, timeout_seconds: float) -> PulledBatches:
        """Wait up to the timeout for batches or failures. Return all there are, possibly none."""
        self._has_post.wait(timeout_seconds)
        self._has_post.clear()
        post, self._post = self._post, PulledBatches({}, {})
        self._has_room.set()
        return post


log = logs.get(__name__)

WAIT_SECONDS = 1.0


class Puller:
    """Read one table of one gatherer, one batch ahead of its merger. A failure delays no other gatherer."""

    def __init__(
        self,
        source: GathererTable,
        inbox: PullBuffer,
        shard: int,
        pace: IdlePace,
        offload: Offload,
        stopping: Event,
    ) -> None:
        self._source = source
        self._inbox = inbox
        self._pace = pace
        self._offload = offload
        self._stopping = stopping
        self._loop = Loop(
            self._read_next, lambda: pace.pause_seconds, stopping, on_failure=self._note, backoff=database_backoff()
        )
        self._lag = LAG_SECONDS.labels(source.gatherer, source.table.name, str(shard))
        self._is_readable = IS_READABLE.labels(source.gatherer, source.table.name)
        self.failure: str | None = None

    def run(self) -> None:
        self._loop.run()
        self._source.close()

    def step(self) -> bool:
        """Read one batch. Return True if the next one should be read immediately."""
        return self._loop.step()

    def _read_next(self) -> bool:
        after = self._next_position()
        if after is None:
            return False
        pull = self._offload(self._source.pull, after)
        self._note(None)
        if pull.is_empty:
            self._lag.set(0)
        else:
            self._inbox.put(self._source.gatherer, pull)
        self._pace.found(pull.rows, has_more=pull.has_more or pull.starts_anew)
        return self._pace.pause_seconds == 0

    def _next_position(self) -> Position | None:
        """Wait for a position to read from. Return None if the process is stopping."""
        # A loop of its own inside of a step: a wait for the merger is no success, and must not reset the backoff.
        while not self._stopping.is_set():
            after = self._inbox.wanted(self._source.gatherer, WAIT_SECONDS)
            if after is not None:
                return after
        return None

    def _note(self, failure: str | None) -> None:
        if (failure is None) != (self.failure is None):
            self._inbox.put_failure(self._source.gatherer, failure)
            self._is_readable.set(failure is None)
            what = {"gatherer": self._source.gatherer, "table": self._source.table.name}
            if failure is None:
                log.info("gatherer database readable again", **what)
            else:
                log.warning("gatherer database unreadable", error=failure, **what)
        self.failure = failure
