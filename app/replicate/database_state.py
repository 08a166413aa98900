"""One observation of a gatherer's database: which database it is, what its runs recorded, and where its tables end.

If the database was replaced or restored, its runs are distrusted: see the comment on `distrust` below.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql
from psycopg2.extras import execute_values

from app.merge.position import Position
from app.merge.source import ALONG_THE_INDEX
from app.postgres.connection import Connection
from app.postgres.dsn import Dsn
from app.replicate.follower import JOURNAL_COPIES, CopyStatements, is_older_state, read_through
from app.runtime import logs
from app.storage.arrivals import (
    TOUCH_LOCK,
    Reach,
    arrivals,
    connect_for_arrivals,
    is_disturbed,
    leave_out_compressed,
    tables_with_noted_compression,
)
from app.storage.tables import GATHERER_TABLES

MERGED_TABLES = [table.name for table in GATHERER_TABLES]
JOURNALS = {copy.source.name: CopyStatements(copy) for copy in JOURNAL_COPIES}
MARKED_TABLES = (*MERGED_TABLES, *JOURNALS)

RUNS = "SELECT run_id, ingest_id, started_at, recorded_until, ended_at FROM runs"
# The end is at least the position read so far. Planning this for all chunks takes longer than executing it, hence
# prepared.
PREPARE_END = sql.SQL("""
    PREPARE {name} (BIGINT) AS SELECT coalesce(max(ingest_id), $1) FROM {table} WHERE ingest_id > $1
""")
END = sql.SQL("EXECUTE {name} (%s)")
STATE = """
    SELECT
        system_identifier, hashtextextended(oid || ' ' || 'runs'::REGCLASS::OID, 0),
        CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::BIT(32)::INTEGER END,
        pg_wal_lsn_diff(
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, '0/0'
        )::BIGINT
    FROM pg_control_system(), pg_database WHERE datname = current_database()
"""


class DatabaseState(NamedTuple):
    """The identity and position of a database. None means unknown."""

    system_identifier: int
    database_identity: int | None  # differs if the database is recreated on the same server
    timeline: int | None  # differs after a replica was promoted, or the server restored to a point in time
    wal_position: int | None  # the durable position; only an earlier state has a lower one

    def follows(self, before: "DatabaseState") -> bool:
        """Return whether this state may have developed from the earlier one by writing alone."""
        is_same = all(None in pair or pair[0] == pair[1] for pair in zip(self[:-1], before[:-1], strict=True))
        return is_same and (self.wal_position or 0) >= (before.wal_position or 0)


class ObservedRun(NamedTuple):
    run_id: int
    ingest_id: int
    started_at: datetime
    recorded_until: datetime
    ended_at: datetime | None


class ObservedDatabase(NamedTuple):
    state: DatabaseState
    has_older_journal: bool  # it lacks rows that were read from it before
    runs: list[ObservedRun]
    ends: dict[str, int]

    def is_here(self, positions: Mapping[str, Position]) -> bool:
        """Return whether all rows that the tables held had been read before."""
        return all(self._is_read(table, positions.get(table)) for table in MARKED_TABLES)

    def _is_read(self, table: str, position: Position | None) -> bool:
        if position is None:
            return table in JOURNALS and self.ends[table] == 0
        return position.system_identifier == self.state.system_identifier and position.ingest_id >= self.ends[table]


def connect_to_observe(source: Dsn, application: str) -> Connection:
    session = connect_for_arrivals(source, application)
    with session, session.cursor() as cursor:
        cursor.execute(ALONG_THE_INDEX)
        for table in MARKED_TABLES:
            # Each plan is made once: for reading past compressed rows, and for reading without them.
            for is_past_compressed in (False, True):
                name = _end_of(table, is_past_compressed=is_past_compressed)
                cursor.execute(PREPARE_END.format(name=name, table=sql.Identifier(table)))
    return session


def observe(
    session: Connection, production: Connection, gatherer: str, positions: Mapping[str, Position]
) -> ObservedDatabase:
    """Observe the database, repeating while compression disturbs it.

    `positions` give up to where its tables were read, so all ends are there or beyond.
    """
    noted = tables_with_noted_compression(session)
    while True:
        look, reaches = _look_once(session, production, gatherer, positions, noted)
        if not any(is_disturbed(session, reach) for reach in reaches):
            return look


def _look_once(
    session: Connection,
    production: Connection,
    gatherer: str,
    positions: Mapping[str, Position],
    noted: frozenset[str],
) -> tuple[ObservedDatabase, list[Reach | None]]:
    first, *others = MARKED_TABLES
    with arrivals(session, first) as cursor:
        for table in others:
            cursor.execute(TOUCH_LOCK, (table, table))
        cursor.execute(STATE)
        state = DatabaseState(*(cursor.fetchone() or (0, None, None, None)))
        ends, reaches = {}, []
        for table in MARKED_TABLES:
            read_to = _read_to(positions.get(table), state)
            reach = leave_out_compressed(cursor, table, read_to + 1) if table in noted else None
            ends[table] = _end(cursor, table, read_to, reach)
            reaches.append(reach)
        has_older_journal = any(_is_older(cursor, production, gatherer, table, state) for table in JOURNALS)
        cursor.execute(RUNS)
        return ObservedDatabase(
            state, has_older_journal, [ObservedRun(*row) for row in cursor.fetchall()], ends
        ), reaches


def _read_to(position: Position | None, state: DatabaseState) -> int:
    is_of_it = position is not None and position.system_identifier == state.system_identifier
    return position.ingest_id if position and is_of_it else 0


def _end(cursor: psycopg2.extensions.cursor, table: str, read_to: int, reach: Reach | None) -> int:
    is_past_compressed = reach is not None and reach.is_past_compressed
    cursor.execute(END.format(name=_end_of(table, is_past_compressed=is_past_compressed)), (read_to,))
    (end,) = cursor.fetchone() or (0,)
    return int(end)


def _is_older(
    cursor: psycopg2.extensions.cursor, production: Connection, gatherer: str, table: str, state: DatabaseState
) -> bool:
    through = read_through(production, gatherer, table, state.system_identifier)
    return through is not None and is_older_state(cursor, JOURNALS[table].is_older, through)


def _end_of(table: str, *, is_past_compressed: bool) -> sql.Identifier:
    return sql.Identifier(f"end_of_{table}_past_compressed" if is_past_compressed else f"end_of_{table}")


# What a gatherer's runs recorded counts only as far as it is in the database in which they recorded it.
#
# When that database is replaced, or restored to an earlier state, rows are gone that were never read: records, but also
# gaps and ends of subscriptions, without which a run would seem to have covered what it has not. Nothing the run writes
# later makes up for that, so nothing more counts than was delivered before, until the run's end. The same holds for a
# run that appears only now, through the spool: it may have recorded in the earlier state since it started. Only a run
# that begins once the new state is known counts.

log = logs.get(__name__)

NOTICE = """
    UPDATE gatherer_contacts SET state_number = state_number + 1, state_since = now() WHERE gatherer = %(gatherer)s
"""
STATE_SINCE = "SELECT state_since FROM gatherer_contacts WHERE gatherer = %s AND state_since IS NOT NULL"
# A run's start is a time of its gatherer's clock, which may be some seconds ahead of production's.
AHEAD = timedelta(seconds=10)
# If several tables find the same new state, only the first one records it: the others still refer to the state before.
NOTICE_FIRST = f"{NOTICE} AND state_number = %(state_number)s"
DISTRUST = """
    UPDATE gatherer_runs SET
        trusted_until = coalesce(delivered_until, started_at), recorded_until = coalesce(delivered_until, started_at),
        marked_until = NULL
    WHERE gatherer = %(gatherer)s AND trusted_until IS NULL
"""
SAVE_DISTRUSTED = """
    INSERT INTO gatherer_runs (gatherer, run_id, ingest_id, started_at, recorded_until, ended_at, trusted_until)
    VALUES %s
    ON CONFLICT DO NOTHING
"""
DROP_MARKS = "DELETE FROM gatherer_marks WHERE gatherer = %(gatherer)s"


def distrust(cursor: psycopg2.extensions.cursor, gatherer: str) -> None:
    """Record that another state of the gatherer's database was found: nothing more counts of any known run."""
    cursor.execute(NOTICE, {"gatherer": gatherer})
    _distrust_runs(cursor, gatherer)


def distrust_at_first(cursor: psycopg2.extensions.cursor, gatherer: str, state_number: int) -> None:
    """Do the same as distrust(), unless another table has recorded the new state since this one was read."""
    cursor.execute(NOTICE_FIRST, {"gatherer": gatherer, "state_number": state_number})
    if cursor.rowcount:
        _distrust_runs(cursor, gatherer)


def distrust_older(cursor: psycopg2.extensions.cursor, gatherer: str, unknown: Sequence[ObservedRun]) -> None:
    """Distrust runs that were unknown so far, if they may have begun in an earlier state of the database."""
    cursor.execute(STATE_SINCE, (gatherer,))
    state_since = cursor.fetchone()
    older = [run for run in unknown if state_since and run.started_at < state_since[0] + AHEAD]
    if older:
        rows = [(gatherer, *run[:3], run.started_at, run.ended_at, run.started_at) for run in older]
        execute_values(cursor, SAVE_DISTRUSTED, rows)
        log.error(
            "runs may have started before the gatherer database was replaced: they do not count, restart the gatherer",
            gatherer=gatherer,
            run_ids=[run.run_id for run in older],
        )


def _distrust_runs(cursor: psycopg2.extensions.cursor, gatherer: str) -> None:
    cursor.execute(DISTRUST, {"gatherer": gatherer})
    cursor.execute(DROP_MARKS, {"gatherer": gatherer})
    log.error(
        "gatherer database replaced or restored: its current run no longer counts, restart the gatherer",
        gatherer=gatherer,
    )
