"""Gatherers' databases and the production that they are merged into, without processes: rounds happen when a test says."""

from app.merge.merger import Merger
from app.merge.position import Shard
from app.merge.rules import RULES
from app.merge.source import GathererTable
from app.storage.tables import GATHERER_TABLES
from app.storage.writer import CopyWriter
from tests.processes import wait_until

ALL = Shard(0, 1)
TABLES = {table.name: table for table in GATHERER_TABLES}
BATCH_BYTES = 1_000_000


def rule_of(table_name):
    return next(rule for rule in RULES if rule.table.name == table_name)


def opened(merger):
    """The positions. Who had it before may just be letting go."""
    return wait_until(merger.open, what="a claim")


class Recordings:
    """Of one table."""

    def __init__(self, table_name, gatherers, production, shard=ALL, batch_bytes=BATCH_BYTES):
        self.rule = rule_of(table_name)
        self.merger = Merger(self.rule, shard, gatherers, production)
        self.sources = {
            name: GathererTable(name, dsn, self.rule.table, shard, batch_bytes) for name, dsn in gatherers.items()
        }
        self.writers = {name: CopyWriter(TABLES[table_name], dsn) for name, dsn in gatherers.items()}
        self.positions = None

    def record(self, gatherer, rows):
        return self.writers[gatherer].write(rows)

    def round(self, *gatherers):
        """Merges what these have next; of all of them when none is named."""
        self.positions = self.positions or opened(self.merger)
        pulls = {name: self.sources[name].pull(self.positions[name]) for name in gatherers or self.sources}
        merged = self.merger.merge(pulls)
        self.positions |= {name: pull.through for name, pull in pulls.items()}
        return merged

    def catch_up(self):
        while (merged := self.round()).read or any(
            position.is_beginning and self.sources[name].pull(position).rows
            for name, position in self.positions.items()
        ):
            assert merged.quarantined == 0

    def forget(self):
        """As a process that starts."""
        self.merger.close()
        self.positions = None

    def close(self):
        self.merger.close()
        for part in (*self.sources.values(), *self.writers.values()):
            part.close()
