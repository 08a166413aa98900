import gevent.event

from app import logs
from app.errors import DatabaseError
from app.merge.pace import Pace
from app.merge.source import Source
from app.metrics.merge import IS_READABLE, LAG_SECONDS
from app.offload import Offload
from workers.inbox import Inbox

log = logs.get(__name__)

WAIT_SECONDS = 1.0


class Puller:
    """Reads one table of one gatherer on, a batch ahead of its merger. When it fails, no other has to wait for it."""

    def __init__(
        self, source: Source, inbox: Inbox, shard: int, pace: Pace, offload: Offload, stopping: gevent.event.Event
    ) -> None:
        self._source = source
        self._inbox = inbox
        self._pace = pace
        self._offload = offload
        self._stopping = stopping
        self._lag = LAG_SECONDS.labels(source.gatherer, source.table.name, str(shard))
        self._is_readable = IS_READABLE.labels(source.gatherer, source.table.name)
        self.failure: str | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(self._pace.pause_seconds)
        self._source.close()

    def step(self) -> bool:
        """Whether to look again at once."""
        after = self._inbox.wanted(self._source.gatherer, WAIT_SECONDS)
        if after is None:
            return True
        try:
            pull = self._offload(self._source.pull, after)
        except DatabaseError as error:
            self._note(str(error))
            self._pace.failed()
            return False
        self._note(None)
        if pull.is_empty:
            self._lag.set(0)
        else:
            self._inbox.put(self._source.gatherer, pull)
        self._pace.found(pull.rows, has_more=pull.has_more or pull.starts_anew)
        return self._pace.pause_seconds == 0

    def _note(self, failure: str | None) -> None:
        if (failure is None) != (self.failure is None):
            self._inbox.put_failure(self._source.gatherer, failure)
            self._is_readable.set(failure is None)
            what = {"gatherer": self._source.gatherer, "table": self._source.table.name}
            if failure is None:
                log.info("a gatherer can be read again", **what)
            else:
                log.warning("a gatherer cannot be read; the others are", error=failure, **what)
        self.failure = failure
