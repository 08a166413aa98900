"""What a gatherer's runs recorded counts only as far as it is in the database in which they recorded it.

When that database is replaced, or put back to an earlier state, rows are gone that nobody has read yet: records, and
gaps and ends of subscriptions, without which a run would seem to have heard what it has not. No later word of such a
run makes up for that, so nothing counts that was not delivered before, to the run's end. The same holds for a run that
is heard of only now, through the spool: it may have recorded in the earlier state since it started. Only a run that
begins once the new state is known counts.
"""

from collections.abc import Sequence
from datetime import timedelta

import psycopg2.extensions
from psycopg2.extras import execute_values

from app import logs
from app.follow.look import Run

log = logs.get(__name__)

NOTICE = """
    UPDATE gatherer_contacts SET state_number = state_number + 1, state_since = now() WHERE gatherer = %(gatherer)s
"""
STATE_SINCE = "SELECT state_since FROM gatherer_contacts WHERE gatherer = %s AND state_since IS NOT NULL"
# When a run started is told by its gatherer's clock, which may be some seconds ahead of production's.
AHEAD = timedelta(seconds=10)
# Of several tables that find the same other state, the first one says so. They have been read in the one before.
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
    """Another state of its database was found: of all runs that are known, nothing more counts."""
    cursor.execute(NOTICE, {"gatherer": gatherer})
    _distrust_runs(cursor, gatherer)


def distrust_at_first(cursor: psycopg2.extensions.cursor, gatherer: str, state_number: int) -> None:
    """The same, unless it was found already since the state in which a table was read."""
    cursor.execute(NOTICE_FIRST, {"gatherer": gatherer, "state_number": state_number})
    if cursor.rowcount:
        _distrust_runs(cursor, gatherer)


def distrust_older(cursor: psycopg2.extensions.cursor, gatherer: str, unknown: Sequence[Run]) -> None:
    """Of runs of which nothing was known before, nothing counts if they may have begun in an earlier state."""
    cursor.execute(STATE_SINCE, (gatherer,))
    state_since = cursor.fetchone()
    older = [run for run in unknown if state_since and run.started_at < state_since[0] + AHEAD]
    if older:
        rows = [(gatherer, *run[:3], run.started_at, run.ended_at, run.started_at) for run in older]
        execute_values(cursor, SAVE_DISTRUSTED, rows)
        log.error(
            "runs may have begun before their database was replaced: they count for nothing, so restart it if it runs",
            gatherer=gatherer,
            run_ids=[run.run_id for run in older],
        )


def _distrust_runs(cursor: psycopg2.extensions.cursor, gatherer: str) -> None:
    cursor.execute(DISTRUST, {"gatherer": gatherer})
    cursor.execute(DROP_MARKS, {"gatherer": gatherer})
    log.error(
        "a gatherer's database was replaced or put back; its present run counts no more, so restart it if it runs",
        gatherer=gatherer,
    )
