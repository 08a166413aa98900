"""The merging workers: one lane per table and shard, divided fairly among the deduplicator processes.

In: batches from the pullers, at most one per gatherer and lane. Out: rows of production with the gatherers' positions,
in one transaction. A lane is held by a lock in production; the share of lanes keeps one process from holding all.
"""

import time

from app.merge.merger import Merger
from app.merge.ownership import Members
from app.merge.position import Shard, fair_share
from app.merge.rules import RULES, Rule
from app.merge.source import GathererTable, name_of
from app.metrics import deduplicator as metrics
from app.metrics.deduplicator import HELD_SHARDS, MEMBERS
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.events import Event
from app.runtime.threads import Offload, threads
from app.settings import Settings
from workers.deduplicator.gatherer_follower import Confirmer
from workers.deduplicator.puller import PullBuffer, PulledBatches, Puller
from workers.process.group import Group
from workers.process.loop import IdlePace, Loop, database_backoff

log = logs.get(__name__)

COUNT_SECONDS = 2.0


class Membership:
    """This process among the deduplicators: how many lanes it may hold, so that every process gets its share."""

    def __init__(self, members: Members, lanes: int, offload: Offload, stopping: Event) -> None:
        self._members = members
        self._lanes = lanes
        self._offload = offload
        self._loop = Loop(self._count, COUNT_SECONDS, stopping, on_failure=_not_counted)
        self._share = 0
        self._held = 0

    def run(self) -> None:
        self._loop.run()
        self._members.close()

    def step(self) -> None:
        """Count the processes. While production is unreachable, the last share holds."""
        self._loop.step()

    def take_one(self) -> bool:
        """Take a place for one more lane. Return False if the share is used up."""
        if self._held >= self._share:
            return False
        self._held += 1
        HELD_SHARDS.set(self._held)
        return True

    def holds_too_many(self) -> bool:
        return self._held > self._share

    def release_one(self) -> None:
        self._held -= 1
        HELD_SHARDS.set(self._held)

    def _count(self) -> None:
        members = self._offload(self._members.count)
        self._share = fair_share(self._lanes, members)
        MEMBERS.set(members)


def _not_counted(error: str) -> None:
    log.warning("deduplicator processes could not be counted", error=error)


WAIT_SECONDS = 1.0
LOOK_AT_CURSORS_SECONDS = 10.0


class TableMerger:
    """Merge one lane, a table or a shard of it, while this process holds it."""

    def __init__(
        self,
        merger: Merger,
        inbox: PullBuffer,
        membership: Membership,
        pace: IdlePace,
        offload: Offload,
        stopping: Event,
    ) -> None:
        self._merger = merger
        self._inbox = inbox
        self._membership = membership
        self._pace = pace
        self._offload = offload
        self._loop = Loop(
            self._open_or_merge,
            lambda: pace.pause_seconds,
            stopping,
            on_failure=self._fail,
            backoff=database_backoff(),
        )
        self._table = merger.rule.table.name
        self._has_place = False
        self._is_open = False
        self._look_at_cursors_from = 0.0
        self.obstacle: str | None = None

    @property
    def failure(self) -> str | None:
        """Return why the latest round failed, or None."""
        return self._loop.failure

    def run(self) -> None:
        self._loop.run()
        self._release()

    def step(self) -> bool:
        """Open the lane or merge one round. Return True if there may be more to do immediately."""
        return self._loop.step()

    def _open_or_merge(self) -> bool:
        goes_on = self._round() if self._is_open else self._open()
        self._pace.found(int(goes_on))
        return goes_on

    def _open(self) -> bool:
        """Try to open the lane. Return False if the share is used up or the lane cannot be opened now."""
        # The place is taken before opening, or all tables would be opened before the first one is counted.
        self._has_place = self._has_place or self._membership.take_one()
        if not self._has_place:
            return False
        positions = self._offload(self._merger.open)
        self._note_obstacle()
        if positions is None:
            self._membership.release_one()
            self._has_place = False
            return False
        self._is_open = True
        self._inbox.open(positions)
        log.info("shard taken over", table=self._table, shard=self._merger.shard.number, of=self._merger.shard.of)
        return True

    def _round(self) -> bool:
        """Merge what the pullers have read, and leave the lane if this process holds too many.

        Return True if it still holds it.
        """
        post = self._inbox.take(WAIT_SECONDS)
        if post.failures:
            self._offload(self._merger.note_failures, post.failures)
        if post.pulls:
            self._merge(post)
        elif time.monotonic() >= self._look_at_cursors_from:
            self._offload(self._merger.refuse_moved_cursors)
            self._look_at_cursors_from = time.monotonic() + LOOK_AT_CURSORS_SECONDS
        if self._membership.holds_too_many():
            log.info("shard released to another process", table=self._table, shard=self._merger.shard.number)
            self._release()
        return self._is_open

    def _merge(self, post: PulledBatches) -> None:
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
                log.warning(
                    "gatherer database replaced or restored: table is read from the beginning",
                    gatherer=gatherer,
                    table=self._table,
                )

    def _note_obstacle(self) -> None:
        if self._merger.obstacle not in (None, self.obstacle):
            log.warning("merge blocked", table=self._table, reason=self._merger.obstacle)
        self.obstacle = self._merger.obstacle

    def _fail(self, error: str) -> None:
        """Close the lane after an error: what was read ahead is dropped and read again."""
        metrics.FAILED_ROUNDS.labels(self._table).inc()
        log.error("merge failed: retrying", table=self._table, error=error)
        self._release()

    def _release(self) -> None:
        """Release the lane, and its place in this process's share."""
        self._inbox.close()
        self._merger.close()
        if self._has_place:
            self._membership.release_one()
        self._has_place = self._is_open = False


CLAIM_SECONDS = 0.1
STANDBY_SECONDS = 2.0


class MergeSupervisor:
    """Build and start the pullers, mergers and confirmers of all gatherers."""

    def __init__(self, settings: Settings, gatherers: dict[str, Dsn], production: Dsn, group: Group) -> None:
        self._settings = settings
        self._group = group
        self._gatherers, self._production = gatherers, production
        self._production_name = name_of(production)
        shards = [Shard(number, settings.dedup_shards) for number in range(settings.dedup_shards)]
        lanes = [(rule, shard) for shard in shards for rule in RULES]
        # One thread for every call that may block at the same time: a gatherer that hangs must not delay another.
        self._offload = threads(len(lanes) * (len(self._gatherers) + 1) + len(self._gatherers) + 1)
        members = Members(self._production)
        self._membership = Membership(members, len(lanes), self._offload, group.stopping)
        self._pullers: list[Puller] = []
        self._mergers: list[TableMerger] = []
        for rule, shard in lanes:
            self._add_lane(rule, shard)

    def start(self) -> None:
        self._group.spawn(self._membership.run)
        for merger in self._mergers:
            self._group.spawn(merger.run)
        for puller in self._pullers:
            self._group.spawn(puller.run)
        for gatherer, dsn in self._gatherers.items():
            sources = [
                GathererTable(gatherer, dsn, rule.table, Shard(0, 1), 1, self._production_name) for rule in RULES
            ]
            confirmer = Confirmer(gatherer, sources, self._production, self._offload, self._group.stopping)
            self._group.spawn(confirmer.run)

    def why_not_ready(self) -> str | None:
        """Return None while rows can be read from at least one gatherer and no lane fails.

        A lane held elsewhere is fine.
        """
        for merger in self._mergers:
            if reason := merger.failure or merger.obstacle:
                return reason
        failures = [puller.failure for puller in self._pullers]
        return failures[0] if failures and None not in failures else None

    def _add_lane(self, rule: Rule, shard: Shard) -> None:
        settings, stopping = self._settings, self._group.stopping
        inbox = PullBuffer()
        merger = Merger(rule, shard, self._gatherers, self._production)
        pace = IdlePace(CLAIM_SECONDS, STANDBY_SECONDS)
        self._mergers.append(TableMerger(merger, inbox, self._membership, pace, self._offload, stopping))
        for gatherer, dsn in self._gatherers.items():
            source = GathererTable(gatherer, dsn, rule.table, shard, settings.dedup_batch_bytes, self._production_name)
            pace = IdlePace(settings.dedup_busy_milliseconds / 1_000, settings.dedup_idle_milliseconds / 1_000)
            self._pullers.append(Puller(source, inbox, shard.number, pace, self._offload, stopping))
