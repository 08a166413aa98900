from collections.abc import Iterable, Mapping
from typing import NamedTuple

import psycopg2.extensions

from app.merge.claim import Claim
from app.merge.cursors import Cursors
from app.merge.position import Position, Pull
from app.merge.rule_steps import apply_rule
from app.merge.rules import Rule
from app.merge.shards import Shard
from app.merge.sift import load, sift_staged, stage_what_fits
from app.merge.statements import Statements
from app.postgres.claim import FREED_IN_TIME
from app.postgres.connection import Connection, connect
from app.postgres.dsn import Dsn
from app.postgres.kept_connection import KeptConnection
from app.store.writer import REFUSED_BY_THE_DATABASE

SESSION = "SET temp_buffers = '64MB'; SET work_mem = '64MB'; SET jit = off"
COUNT = """
    INSERT INTO merge_statistics AS total (table_name, shard, rounds, rows_read, rows_new, rows_quarantined)
    VALUES (%s, %s, 1, %s, %s, %s)
    ON CONFLICT (table_name, shard) DO UPDATE SET
        rounds = total.rounds + 1, rows_read = total.rows_read + excluded.rows_read,
        rows_new = total.rows_new + excluded.rows_new,
        rows_quarantined = total.rows_quarantined + excluded.rows_quarantined, updated_at = now()
"""


class Merged(NamedTuple):
    read: int
    new: int
    quarantined: int


class Merger:
    """Brings what was pulled from all gatherers into one of production's tables, a transaction a round: the rows, the
    cursors and the statistics. Whatever fails, the positions that open() gives next are those of the last commit."""

    def __init__(self, rule: Rule, shard: Shard, gatherers: Iterable[str], production: Dsn) -> None:
        self.rule = rule
        self.shard = shard
        self._production = production
        self._cursors = Cursors(rule.table.name, shard, gatherers)
        self._claim = Claim(rule.table.name, shard, self._cursors)
        self._statements = Statements(rule)
        self._kept = KeptConnection(self._connect, f"Merging {rule.table.name} failed.")

    def open(self) -> dict[str, Position] | None:
        """Where to read on, by gatherer. None: it is not ours to merge now."""
        with self._kept.opened() as connection, connection, connection.cursor() as cursor:
            return self._cursors.read(cursor) if self._claim.take(cursor) else None

    def merge(self, pulls: Mapping[str, Pull]) -> Merged:
        """Returns after the commit."""
        with self._kept.still_open() as connection:
            try:
                return self._attempt(connection, pulls, is_sifting=False)
            except REFUSED_BY_THE_DATABASE:
                # A row finds no chunk, or is a bad one, or both.
                connection.rollback()
            self._make_room(connection, pulls)
            return self._attempt(connection, pulls, is_sifting=True)

    def note_failures(self, failures: Mapping[str, str | None]) -> None:
        """Which gatherers cannot be read, and why; None: it can again."""
        with self._kept.still_open() as connection, connection, connection.cursor() as cursor:
            for gatherer, failure in failures.items():
                self._cursors.note_failure(cursor, gatherer, failure)

    @property
    def obstacle(self) -> str | None:
        """Why open() gave nothing, if not because another process merges it."""
        return self._claim.obstacle

    def close(self) -> None:
        """Gives the claim back, too."""
        self._kept.close()

    def _connect(self) -> Connection:
        connection = connect(self._production, f"merger {self.rule.table.name}")
        with connection, connection.cursor() as cursor:
            cursor.execute(SESSION)
            cursor.execute(FREED_IN_TIME)
            cursor.execute(self._statements.create_staging)
        return connection

    def _attempt(self, connection: Connection, pulls: Mapping[str, Pull], *, is_sifting: bool) -> Merged:
        with connection, connection.cursor() as cursor:
            refused = self._stage(cursor, pulls, is_sifting=is_sifting)
            cursor.execute(self._statements.lock_table)
            new = apply_rule(cursor, self.rule, self._statements, is_sifted=is_sifting)
            for gatherer, pull in pulls.items():
                self._cursors.advance(cursor, gatherer, pull)
            merged = Merged(sum(pull.rows for pull in pulls.values()), new, refused)
            cursor.execute(COUNT, (self.rule.table.name, self.shard.number, *merged))
        return merged

    def _stage(self, cursor: psycopg2.extensions.cursor, pulls: Mapping[str, Pull], *, is_sifting: bool) -> int:
        refused = 0
        for gatherer, pull in pulls.items():
            if not pull.rows:
                continue
            if is_sifting:
                refused += stage_what_fits(cursor, self.rule.table, pull.content, REFUSED_BY_THE_DATABASE, gatherer)
                refused += sift_staged(cursor, self.rule.table, gatherer)
            else:
                load(cursor, self.rule.table, pull.content)
                if self.rule.are_announcements:
                    # Python looks at them, and must not meet a time that it cannot have.
                    refused += sift_staged(cursor, self.rule.table, gatherer)
            if self.rule.are_announcements:
                cursor.execute(self._statements.name_gatherer, (gatherer,))
        return refused

    def _make_room(self, connection: Connection, pulls: Mapping[str, Pull]) -> None:
        """Each chunk in a transaction of its own, since it locks its table until the end."""
        with connection, connection.cursor() as cursor:
            self._stage(cursor, pulls, is_sifting=True)
            cursor.execute(self._statements.days)
            days = [day for (day,) in cursor.fetchall()]
            connection.rollback()
        for day in days:
            with connection, connection.cursor() as cursor:
                cursor.execute(self._statements.ensure_chunk, (day,))
