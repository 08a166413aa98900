"""A gatherer's journal, and what of its recording has arrived.

A run's recorded_until says what is in the gatherer's own database. When it is read, so is where each table ends: once
all cursors have passed there, the same holds for production. Only then does anything count as heard.
"""

from datetime import datetime
from typing import NamedTuple

import psycopg2.extensions
from psycopg2.extras import execute_values

from app import logs
from app.follow.confirming import confirm
from app.follow.copies import JOURNAL_COPIES
from app.follow.cursors import last_ingest_id, system_identifier
from app.follow.follower import Follower
from app.postgres.claim import claimed
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn
from app.store.arrivals import TOUCH_LOCK, arrivals, arrivals_session
from app.store.tables import GATHERER_TABLES

log = logs.get(__name__)

MERGED_TABLES = [table.name for table in GATHERER_TABLES]
MARKED_TABLES = (*MERGED_TABLES, *(copy.source.name for copy in JOURNAL_COPIES))

RUNS = "SELECT run_id, started_at, recorded_until, ended_at FROM runs"
SAVE_RUNS = """
    INSERT INTO gatherer_runs AS target (gatherer, run_id, started_at, recorded_until, ended_at, marked_until) VALUES %s
    ON CONFLICT (gatherer, run_id) DO UPDATE
    SET recorded_until = excluded.recorded_until, ended_at = excluded.ended_at,
        marked_until = coalesce(excluded.marked_until, target.marked_until)
"""
# What it recorded after the state that it is back in, and had not arrived yet, never will.
GIVE_UP_LOST = """
    UPDATE gatherer_runs
    SET recorded_until = coalesce(delivered_until, started_at), marked_until = NULL
    WHERE gatherer = %(gatherer)s
"""
CONTACT = "SELECT system_identifier, first_run_id FROM gatherer_contacts WHERE gatherer = %s"
SAVE_CONTACT = """
    INSERT INTO gatherer_contacts (gatherer, system_identifier, first_run_id, contacted_at) VALUES (%s, %s, %s, now())
    ON CONFLICT (gatherer) DO UPDATE
    SET system_identifier = excluded.system_identifier, first_run_id = excluded.first_run_id,
        contacted_at = excluded.contacted_at
"""
SAVE_MARKS = """
    INSERT INTO gatherer_marks (gatherer, table_name, system_identifier, ingest_id) VALUES %s
    ON CONFLICT (gatherer, table_name) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id
"""
# A table that is read in shards is here as far as the least of them; a cursor of another database says nothing of it,
# and nothing is known of an empty table either before it was looked into: it may be empty since it was dropped.
PASSED = """
    SELECT NOT EXISTS (
        SELECT FROM gatherer_marks AS m, LATERAL (
            SELECT CASE WHEN m.table_name = ANY (%(merged)s) THEN -1 ELSE 0 END AS ingest_id
        ) AS unread
        WHERE m.gatherer = %(gatherer)s AND m.ingest_id > (
            SELECT coalesce(
                min(CASE WHEN c.system_identifier = m.system_identifier THEN c.ingest_id ELSE unread.ingest_id END),
                unread.ingest_id
            )
            FROM sync_cursors AS c WHERE c.gatherer = m.gatherer AND c.table_name = m.table_name
        )
    )
"""
DELIVERED = """
    UPDATE gatherer_runs SET delivered_until = marked_until
    WHERE gatherer = %(gatherer)s AND marked_until > coalesce(delivered_until, '-infinity')
"""


class _Run(NamedTuple):
    run_id: int
    started_at: datetime
    recorded_until: datetime
    ended_at: datetime | None


class _Look(NamedTuple):
    """At a gatherer's database, at one moment."""

    identifier: int
    runs: list[_Run]
    ends: dict[str, int]

    @property
    def first_run_id(self) -> int | None:
        return min((run.run_id for run in self.runs), default=None)


class JournalFollower:
    """Keeps production's copy of one gatherer's journal."""

    def __init__(self, gatherer: str, source: Dsn, production: Dsn) -> None:
        self.gatherer = gatherer
        self._source = source
        self._production = production
        self._follower = Follower(gatherer, source, production, JOURNAL_COPIES)

    def round(self) -> dict[str, int]:
        """How many rows came, by table; nothing where another process is at it."""
        name = f"journal {self.gatherer}"
        with connected(self._production, name) as production, claimed(production, name) as is_ours:
            return self._round(production) if is_ours else {}

    def _round(self, production: Connection) -> dict[str, int]:
        with arrivals_session(self._source, f"journal {self.gatherer}") as session:
            look = _look_at(session)
            self._save(look, production)
            copied = self._follower.follow(session, production)
            confirm(session, production, self.gatherer, copied)
        self._acknowledge(production)
        return {**copied, "runs": len(look.runs)}

    def _save(self, look: _Look, production: Connection) -> None:
        with production, production.cursor() as cursor:
            if self._is_another_state(cursor, look):
                log.warning("read anew: its database is another, or as it was earlier", gatherer=self.gatherer)
                self._begin_anew(cursor)
            cursor.execute("SELECT count(*) FROM gatherer_marks WHERE gatherer = %s", (self.gatherer,))
            is_marking = cursor.fetchone() == (0,)
            rows = [(self.gatherer, *run, run.recorded_until if is_marking else None) for run in look.runs]
            execute_values(cursor, SAVE_RUNS, rows)
            if is_marking:
                marks = [(self.gatherer, table, look.identifier, end) for table, end in look.ends.items()]
                execute_values(cursor, SAVE_MARKS, marks)
            cursor.execute(SAVE_CONTACT, (self.gatherer, look.identifier, look.first_run_id))

    def _is_another_state(self, cursor: psycopg2.extensions.cursor, look: _Look) -> bool:
        cursor.execute(CONTACT, (self.gatherer,))
        known = cursor.fetchone()
        if known and (known[0] != look.identifier or known[1] not in {None, look.first_run_id}):
            return True
        cursor.execute("SELECT run_id, recorded_until FROM gatherer_runs WHERE gatherer = %s", (self.gatherer,))
        there = {run.run_id: run.recorded_until for run in look.runs}
        return any(run_id in there and there[run_id] < recorded_until for run_id, recorded_until in cursor.fetchall())

    def _begin_anew(self, cursor: psycopg2.extensions.cursor) -> None:
        where = {"gatherer": self.gatherer, "tables": [copy.source.name for copy in JOURNAL_COPIES]}
        cursor.execute(GIVE_UP_LOST, where)
        cursor.execute("DELETE FROM gatherer_marks WHERE gatherer = %(gatherer)s", where)
        cursor.execute("DELETE FROM sync_cursors WHERE gatherer = %(gatherer)s AND table_name = ANY(%(tables)s)", where)

    def _acknowledge(self, production: Connection) -> None:
        """What was marked counts as heard once everything up to the marks is here."""
        where = {"gatherer": self.gatherer, "merged": MERGED_TABLES}
        with production, production.cursor() as cursor:
            cursor.execute(PASSED, where)
            if cursor.fetchone() == (True,):
                cursor.execute(DELIVERED, where)
                cursor.execute("DELETE FROM gatherer_marks WHERE gatherer = %(gatherer)s", where)


def _look_at(session: Connection) -> _Look:
    first, *others = MARKED_TABLES
    with arrivals(session, first) as cursor:
        for table in others:
            cursor.execute(TOUCH_LOCK, (table, table))
        ends = {table: last_ingest_id(cursor, table) for table in MARKED_TABLES}
        identifier = system_identifier(cursor)
        cursor.execute(RUNS)
        return _Look(identifier, [_Run(*row) for row in cursor.fetchall()], ends)
