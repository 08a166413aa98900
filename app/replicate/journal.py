"""A gatherer's journal, and how much of its recording has been delivered to production.

A run's recorded_until states what is in the gatherer's own database. When it is read, the end of each table is read
too: once all cursors have passed these ends, the same holds for production. Only then does the time count as covered.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import psycopg2.extensions
from psycopg2.extras import execute_values

from app.merge.cursors import merged_through
from app.merge.position import Position
from app.postgres.connection import Connection, KeptConnection, claimed, connect, connected, value_of
from app.postgres.dsn import Dsn
from app.replicate.database_state import (
    JOURNALS,
    MERGED_TABLES,
    DatabaseState,
    ObservedDatabase,
    connect_to_observe,
    distrust,
    distrust_older,
    observe,
)
from app.replicate.follower import JOURNAL_COPIES, NOTHING, Follower, read_through, system_identifier
from app.runtime import logs
from app.storage.confirmation import NAME_OF_PRODUCTION
from app.storage.tables import METADATA_TABLES

# Confirm to a gatherer up to where production has its journal and its series, events and markets. The gatherer may then
# delete old rows of them.

CONFIRMED = "SELECT ingest_id FROM confirmations WHERE production = %s AND table_name = %s"
# A confirmation may also go back: production may have been restored to an earlier state.
CONFIRM = """
    INSERT INTO confirmations (production, table_name, ingest_id) VALUES (%s, %s, %s)
    ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id, confirmed_at = now()
"""


def confirm(session: Connection, production: Connection, gatherer: str, tables: Iterable[str]) -> dict[str, int]:
    """Confirm the tables to the gatherer, in the session that read them. Return up to where, by table.

    The session matters: if the database is replaced meanwhile, the session does not survive, and nothing is confirmed.
    """
    name = str(value_of(production, NAME_OF_PRODUCTION))
    with session, session.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        identifier = system_identifier(cursor)
        through = {
            table: (read_through(production, gatherer, table, identifier) or NOTHING).ingest_id for table in tables
        }
        for table, ingest_id in through.items():
            _confirm(cursor, name, table, ingest_id)
    production.commit()
    return through


def _confirm(cursor: psycopg2.extensions.cursor, production: str, table: str, ingest_id: int) -> None:
    cursor.execute(CONFIRMED, (production, table))
    # An idle round writes nothing.
    if (cursor.fetchone() or (0,)) != (ingest_id,):
        cursor.execute(CONFIRM, (production, table, ingest_id))


def confirm_metadata(gatherer: str, source: Dsn, production: Dsn) -> dict[str, int]:
    """Confirm what the follower has stored from this very server. Return up to where, by table."""
    name = f"confirmer {gatherer}"
    with connected(source, name) as session, connected(production, name) as connection:
        through = confirm(session, connection, gatherer, [table.name for table in METADATA_TABLES])
    return {table: ingest_id for table, ingest_id in through.items() if ingest_id}


log = logs.get(__name__)

CONTACT = """
    SELECT system_identifier, database_identity, timeline, wal_position FROM gatherer_contacts
    WHERE gatherer = %s FOR UPDATE
"""
# An idle contact is updated only every 10 seconds: the tolerance for absent gatherers is much longer.
SAVE_CONTACT = """
    INSERT INTO gatherer_contacts AS known
        (gatherer, system_identifier, database_identity, timeline, wal_position, contacted_at)
    VALUES (%s, %s, %s, %s, %s, now())
    ON CONFLICT (gatherer) DO UPDATE
    SET system_identifier = excluded.system_identifier, database_identity = excluded.database_identity,
        timeline = excluded.timeline, wal_position = excluded.wal_position, contacted_at = excluded.contacted_at
    WHERE known.contacted_at < excluded.contacted_at - INTERVAL '10 seconds'
        OR (known.system_identifier, known.database_identity, known.timeline, known.wal_position) IS DISTINCT FROM
        (excluded.system_identifier, excluded.database_identity, excluded.timeline, excluded.wal_position)
"""
KNOWN_RUNS = "SELECT run_id, ingest_id, recorded_until, trusted_until IS NULL FROM gatherer_runs WHERE gatherer = %s"
SAVE_RUNS = """
    INSERT INTO gatherer_runs AS target (
        gatherer, run_id, ingest_id, started_at, recorded_until, ended_at, marked_until, delivered_until
    ) VALUES %s
    ON CONFLICT (gatherer, run_id) DO UPDATE
    SET ingest_id = excluded.ingest_id, ended_at = excluded.ended_at,
        recorded_until = least(excluded.recorded_until, target.trusted_until),
        marked_until = CASE WHEN excluded.marked_until IS NULL THEN target.marked_until
            ELSE least(excluded.marked_until, target.trusted_until) END,
        delivered_until = CASE WHEN excluded.delivered_until IS NULL THEN target.delivered_until
            ELSE greatest(target.delivered_until, least(excluded.delivered_until, target.trusted_until)) END
    WHERE target.ingest_id IS DISTINCT FROM excluded.ingest_id
        OR target.marked_until < least(excluded.marked_until, target.trusted_until)
        OR coalesce(target.delivered_until, '-infinity')
        < least(coalesce(excluded.delivered_until, excluded.marked_until), target.trusted_until)
"""
# After a restore, the runs in the earlier state of the database show up to when it has everything.
TRUST_UNTIL = """
    UPDATE gatherer_runs SET trusted_until = %s, recorded_until = %s
    WHERE gatherer = %s AND run_id = %s AND trusted_until < %s
"""
# After a clock was set back, new records may be of a time that was marked already.
GIVE_UP_MARKED = "UPDATE gatherer_runs SET marked_until = NULL WHERE gatherer = %s"
DROP_MARKS = "DELETE FROM gatherer_marks WHERE gatherer = %s"
DROP_CURSORS = "DELETE FROM sync_cursors WHERE gatherer = %s AND table_name = ANY(%s)"
SAVE_MARKS = """
    INSERT INTO gatherer_marks (gatherer, table_name, system_identifier, ingest_id) VALUES %s
    ON CONFLICT (gatherer, table_name) DO UPDATE
    SET system_identifier = excluded.system_identifier, ingest_id = excluded.ingest_id
"""
# A table that is read in shards is here as far as its slowest shard. A cursor of another database proves nothing about
# this one. An empty table that was not looked into is not known to be here either: it may be empty because it was
# dropped.
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


class _KnownRun(NamedTuple):
    ingest_id: int | None
    recorded_until: datetime
    is_trusted: bool


class JournalFollower:
    """Maintain production's copy of one gatherer's journal."""

    def __init__(self, gatherer: str, source: Dsn, production: Dsn) -> None:
        self.gatherer = gatherer
        self._name = name = f"journal {gatherer}"
        self._follower = Follower(gatherer, source, production, JOURNAL_COPIES)
        self._source = KeptConnection(
            lambda: connect_to_observe(source, name),
            f"Reading the journal of {gatherer} failed.",
            "run kalshi-data migrate there.",
        )
        self._production = KeptConnection(
            lambda: connect(production, name), f"Storing the journal of {gatherer} failed."
        )

    def round(self) -> dict[str, int]:
        """Follow the journal once. Return the number of rows by table; nothing if another process holds the claim."""
        with self._production.opened() as production, claimed(production, self._name) as is_ours:
            if not is_ours:
                return {}
            with self._source.opened() as session:
                return self._round(session, production)

    def close(self) -> None:
        self._source.close()
        self._production.close()

    def _round(self, session: Connection, production: Connection) -> dict[str, int]:
        positions = merged_through(production, self.gatherer)
        with production:
            look = observe(session, production, self.gatherer, positions)
        is_waiting = self._save(look, positions, production)
        copied = self._follower.follow(session, production)
        confirm(session, production, self.gatherer, copied)
        if is_waiting:
            self._acknowledge(production)
        return {**copied, "runs": len(look.runs)}

    def _save(self, look: ObservedDatabase, positions: Mapping[str, Position], production: Connection) -> bool:
        """Save what the runs recorded. Return whether some of it waits for rows to be delivered."""
        with production, production.cursor() as cursor:
            known = self._known_runs(cursor)
            if look.has_older_journal or not self._follows(cursor, look, known):
                self._begin_anew(cursor, look, known)
            elif any(
                each.run_id in known and each.recorded_until < known[each.run_id].recorded_until for each in look.runs
            ):
                cursor.execute(GIVE_UP_MARKED, (self.gatherer,))
                cursor.execute(DROP_MARKS, (self.gatherer,))
            distrust_older(cursor, self.gatherer, [run for run in look.runs if run.run_id not in known])
            cursor.execute(SAVE_CONTACT, (self.gatherer, *look.state))
            cursor.execute("SELECT count(*) FROM gatherer_marks WHERE gatherer = %s", (self.gatherer,))
            is_waiting = cursor.fetchone() != (0,)
            is_here = not is_waiting and look.is_here(positions)
            self._save_runs(cursor, look, is_marking=not is_waiting and not is_here, is_here=is_here)
        return not is_here

    def _known_runs(self, cursor: psycopg2.extensions.cursor) -> dict[int, _KnownRun]:
        cursor.execute(KNOWN_RUNS, (self.gatherer,))
        return {run_id: _KnownRun(*rest) for run_id, *rest in cursor.fetchall()}

    def _follows(
        self, cursor: psycopg2.extensions.cursor, look: ObservedDatabase, known: Mapping[int, _KnownRun]
    ) -> bool:
        """Return whether this can be the database observed before, with what was written since.

        Distrusted runs are left out: a new state was recorded for them already.
        """
        cursor.execute(CONTACT, (self.gatherer,))
        contact = cursor.fetchone()
        if contact and not look.state.follows(DatabaseState(*contact)):
            return False
        trusted = {run_id: run for run_id, run in known.items() if run.is_trusted}
        ingest_ids = {run.run_id: run.ingest_id for run in look.runs}
        is_earlier = any(
            ingest_ids.get(run_id, 0) < (run.ingest_id or 0) for run_id, run in trusted.items() if run_id in ingest_ids
        )
        return not is_earlier and (not trusted or max(trusted) in ingest_ids)

    def _begin_anew(
        self, cursor: psycopg2.extensions.cursor, look: ObservedDatabase, known: Mapping[int, _KnownRun]
    ) -> None:
        distrust(cursor, self.gatherer)
        for run in look.runs:
            before = known.get(run.run_id)
            if before and run.ingest_id < (before.ingest_id or 0) and run.recorded_until < before.recorded_until:
                until = run.recorded_until
                cursor.execute(TRUST_UNTIL, (until, until, self.gatherer, run.run_id, until))
        cursor.execute(DROP_CURSORS, (self.gatherer, list(JOURNALS)))

    def _save_runs(
        self, cursor: psycopg2.extensions.cursor, look: ObservedDatabase, *, is_marking: bool, is_here: bool
    ) -> None:
        rows = [
            (self.gatherer, *run, run.recorded_until if is_marking else None, run.recorded_until if is_here else None)
            for run in look.runs
        ]
        if rows:
            execute_values(cursor, SAVE_RUNS, rows)
        if is_marking:
            marks = [(self.gatherer, table, look.state.system_identifier, end) for table, end in look.ends.items()]
            execute_values(cursor, SAVE_MARKS, marks)

    def _acknowledge(self, production: Connection) -> None:
        """Count the marked times as covered, once everything up to the marks has been delivered."""
        where = {"gatherer": self.gatherer, "merged": MERGED_TABLES}
        with production, production.cursor() as cursor:
            cursor.execute(PASSED, where)
            if cursor.fetchone() == (True,):
                cursor.execute(DELIVERED, where)
                cursor.execute(DROP_MARKS, (self.gatherer,))
