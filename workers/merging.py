from app.merge.members import Members
from app.merge.merger import Merger
from app.merge.pace import Pace
from app.merge.rules import RULES, Rule
from app.merge.shards import Shard
from app.merge.source import Source, name_of
from app.offload import threads
from app.postgres.dsn import Dsn
from app.settings import Settings
from workers.confirmer import Confirmer
from workers.group import Group
from workers.inbox import Inbox
from workers.membership import Membership
from workers.puller import Puller
from workers.table_merger import TableMerger

CLAIM_SECONDS = 0.1
STANDBY_SECONDS = 2.0


class Merging:
    """Pulls the records of all gatherers, merges them, and writes them to production."""

    def __init__(self, settings: Settings, gatherers: dict[str, Dsn], production: Dsn, group: Group) -> None:
        self._settings = settings
        self._group = group
        self._gatherers, self._production = gatherers, production
        self._production_name = name_of(production)
        shards = [Shard(number, settings.dedup_shards) for number in range(settings.dedup_shards)]
        lanes = [(rule, shard) for shard in shards for rule in RULES]
        # A thread for every call that may wait at the same time: for a gatherer that hangs, no other has to.
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
            sources = [Source(gatherer, dsn, rule.table, Shard(0, 1), 1, self._production_name) for rule in RULES]
            confirmer = Confirmer(gatherer, sources, self._production, self._offload, self._group.stopping)
            self._group.spawn(confirmer.run)

    def why_not_ready(self) -> str | None:
        """None: rows come in, or another process brings them in."""
        for merger in self._mergers:
            if reason := merger.failure or merger.obstacle:
                return reason
        failures = [puller.failure for puller in self._pullers]
        return failures[0] if failures and None not in failures else None

    def _add_lane(self, rule: Rule, shard: Shard) -> None:
        settings, stopping = self._settings, self._group.stopping
        inbox = Inbox()
        merger = Merger(rule, shard, self._gatherers, self._production)
        pace = Pace(CLAIM_SECONDS, STANDBY_SECONDS)
        self._mergers.append(TableMerger(merger, inbox, self._membership, pace, self._offload, stopping))
        for gatherer, dsn in self._gatherers.items():
            source = Source(gatherer, dsn, rule.table, shard, settings.dedup_batch_bytes, self._production_name)
            pace = Pace(settings.dedup_busy_milliseconds / 1_000, settings.dedup_idle_milliseconds / 1_000)
            self._pullers.append(Puller(source, inbox, shard.number, pace, self._offload, stopping))
