import time

import gevent.event

from app import logs
from app.errors import DatabaseError
from app.merge.merger import Merger
from app.merge.pace import Pace
from app.metrics import merge as metrics
from app.offload import Offload
from workers.inbox import Inbox, Post
from workers.membership import Membership

log = logs.get(__name__)

WAIT_SECONDS = 1.0


class TableMerger:
    """Merges one table, or one shard of it, whenever this process is the one that does."""

    def __init__(
        self,
        merger: Merger,
        inbox: Inbox,
        membership: Membership,
        pace: Pace,
        offload: Offload,
        stopping: gevent.event.Event,
    ) -> None:
        self._merger = merger
        self._inbox = inbox
        self._membership = membership
        self._pace = pace
        self._offload = offload
        self._stopping = stopping
        self._table = merger.rule.table.name
        self._has_place = False
        self._is_open = False
        self.failure: str | None = None
        self.obstacle: str | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(self._pace.pause_seconds)
        self._leave()

    def step(self) -> bool:
        """Whether to go on at once."""
        try:
            goes_on = self._round() if self._is_open else self._open()
        except DatabaseError as error:
            self._fail(error)
            return False
        self.failure = None
        self._pace.found(int(goes_on))
        return goes_on

    def _open(self) -> bool:
        # Counted before it is opened, or all tables would be opened before the first one is counted.
        self._has_place = self._has_place or self._membership.take_one()
        if not self._has_place:
            return False
        positions = self._offload(self._merger.open)
        self._note_obstacle()
        if positions is None:
            self._membership.leave_one()
            self._has_place = False
            return False
        self._is_open = True
        self._inbox.open(positions)
        log.info("merging", table=self._table, shard=self._merger.shard.number, of=self._merger.shard.of)
        return True

    def _round(self) -> bool:
        post = self._inbox.take(WAIT_SECONDS)
        if post.failures:
            self._offload(self._merger.note_failures, post.failures)
        if post.pulls:
            self._merge(post)
        if self._membership.has_too_many():
            log.info("left to another process", table=self._table, shard=self._merger.shard.number)
            self._leave()
        return self._is_open

    def _merge(self, post: Post) -> None:
        begun = time.monotonic()
        merged = self._offload(self._merger.merge, post.pulls)
        metrics.ROUND_SECONDS.labels(self._table).observe(time.monotonic() - begun)
        metrics.ROWS_NEW.labels(self._table).inc(merged.new)
        metrics.ROWS_KNOWN.labels(self._table).inc(max(merged.read - merged.new - merged.quarantined, 0))
        metrics.ROWS_QUARANTINED.labels(self._table).inc(merged.quarantined)
        if merged.quarantined:
            log.error("rows quarantined", table=self._table, rows=merged.quarantined, gatherers=list(post.pulls))
        shard = str(self._merger.shard.number)
        for gatherer, pull in post.pulls.items():
            metrics.ROWS_READ.labels(gatherer, self._table).inc(pull.rows)
            if pull.received_us is not None:
                age_seconds = time.time() - pull.received_us / 1_000_000
                metrics.LAG_SECONDS.labels(gatherer, self._table, shard).set(age_seconds)
            if pull.starts_anew:
                metrics.STARTED_ANEW.labels(gatherer, self._table).inc()
                log.warning("another database, or an older state: read anew", gatherer=gatherer, table=self._table)

    def _note_obstacle(self) -> None:
        if self._merger.obstacle not in (None, self.obstacle):
            log.warning("cannot be merged yet", table=self._table, reason=self._merger.obstacle)
        self.obstacle = self._merger.obstacle

    def _fail(self, error: DatabaseError) -> None:
        metrics.FAILED_ROUNDS.labels(self._table).inc()
        log.error("merging failed and is repeated", table=self._table, error=str(error))
        self.failure = str(error)
        self._leave()
        self._pace.failed()

    def _leave(self) -> None:
        self._inbox.close()
        self._merger.close()
        if self._has_place:
            self._membership.leave_one()
        self._has_place = self._is_open = False
