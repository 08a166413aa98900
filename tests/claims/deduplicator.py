"""The deduplicator's work in process, piece by piece, as real code does it; any statement may be its last."""

from contextlib import contextmanager
from datetime import timedelta

import psycopg2
import psycopg2.extensions

from app.coverage.hours import judge_next_hour
from app.errors import DatabaseError
from app.merge.cursors import merged_through
from app.merge.merger import Merger
from app.merge.position import Shard
from app.merge.rules import RULES
from app.merge.source import GathererTable
from app.postgres.connection import connected
from app.replicate.journal import JournalFollower

BATCH_BYTES = 1_000_000
PATIENCE = timedelta(seconds=20)
AT_ONCE = timedelta(0)


class KilledError(DatabaseError):
    """In place of a statement: the process is no more."""


class Deduplicator:
    """One process with its list of gatherers, which merges every shard of each table."""

    def __init__(self, gatherers, production, shards=1):
        self.gatherers = gatherers  # their databases' addresses, by name
        self._production = production
        self._followers = {name: Follower(name, dsn, production) for name, dsn in gatherers.items()}
        self._tables = {
            (rule.table.name, number): Table(rule, gatherers, production, Shard(number, shards))
            for rule in RULES
            for number in range(shards)
        }

    def merge(self, name):
        """All that a gatherer has, as far as its tables can be read."""
        failures = [failure for table in self._tables.values() if (failure := table.merge(name))]
        if failures:
            raise failures[0]

    def follow(self, name, meanwhile=lambda: None):
        """Something may happen after the look at where the gatherer's tables end."""
        self._followers[name].round(meanwhile)

    def confirm(self, name):
        with connected(self._production, "confirmer") as production:
            through = merged_through(production, name)
        for (table_name, number), table in self._tables.items():
            position = through.get(table_name) if number == 0 else None
            if position is not None and not position.is_beginning:
                table.sources[name].confirm(position)

    def judge(self, now):
        with connected(self._production, "coverage keeper") as connection:
            while judge_next_hour(connection, now, PATIENCE, AT_ONCE).judged:
                continue

    def close(self):
        for part in (*self._tables.values(), *self._followers.values()):
            part.close()


class Follower:
    """One gatherer's journal, read again and again."""

    def __init__(self, name, dsn, production):
        self._journal = JournalFollower(name, dsn, production)
        self._copy = self._journal._follower.follow
        self._journal._follower.follow = self._copy_later
        self._meanwhile = None

    def round(self, meanwhile):
        self._meanwhile = meanwhile
        self._journal.round()

    def close(self):
        if hasattr(self._journal, "close"):
            self._journal.close()

    def _copy_later(self, *arguments):
        self._meanwhile()
        return self._copy(*arguments)


class Table:
    """The merger of one table's shard, and the sources it merges."""

    def __init__(self, rule, gatherers, production, shard):
        self.sources = {
            name: GathererTable(name, dsn, rule.table, shard, BATCH_BYTES) for name, dsn in gatherers.items()
        }
        self._merger = Merger(rule, shard, gatherers, production)
        self._positions = None

    def merge(self, name):
        """None, or why not."""
        try:
            self._merge(name)
        except DatabaseError as error:
            self._positions = None
            self._merger.close()
            return error
        return None

    def _merge(self, name):
        self._positions = self._positions or self._merger.open()
        while self._positions is not None:
            pull = self.sources[name].pull(self._positions[name])
            if pull.is_empty:
                break
            self._merger.merge({name: pull})
            self._positions[name] = pull.through
            if not pull.rows and not pull.starts_anew:
                break

    def close(self):
        self._merger.close()
        for source in self.sources.values():
            source.close()


@contextmanager
def killed_after(statements):
    """No session says more than so many statements, all sessions together."""
    left = iter(range(statements))

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query, parameters=None):
            _live(left)
            super().execute(query, parameters)

        def copy_expert(self, statement, file, size=8192):
            _live(left)
            super().copy_expert(statement, file, size)

    connect = psycopg2.connect

    def connect_mortal(*arguments, **options):
        return connect(*arguments, **{"cursor_factory": Cursor, **options})

    psycopg2.connect = connect_mortal
    try:
        yield
    finally:
        psycopg2.connect = connect


def _live(left):
    if next(left, None) is None:
        raise KilledError("As if the process had ended here.")
