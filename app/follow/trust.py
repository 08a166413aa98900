"""What a gatherer's runs recorded counts only as far as it is in the database in which they recorded it.

When that database is replaced, or put back to an earlier state, rows are gone that nobody has read yet: records, and
gaps and ends of subscriptions, without which a run would seem to have heard what it has not. No later word of such a
run makes up for that, so nothing counts that was not delivered before, to the run's end. The next run begins in the
new state.
"""

import psycopg2.extensions

from app import logs

log = logs.get(__name__)

NOTICE = "UPDATE gatherer_contacts SET state_number = state_number + 1 WHERE gatherer = %(gatherer)s"
# Of several tables that find the same other state, the first one says so. They have been read in the one before.
NOTICE_FIRST = f"{NOTICE} AND state_number = %(state_number)s"
DISTRUST = """
    UPDATE gatherer_runs SET
        trusted_until = coalesce(delivered_until, started_at), recorded_until = coalesce(delivered_until, started_at),
        marked_until = NULL
    WHERE gatherer = %(gatherer)s AND trusted_until IS NULL
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


def _distrust_runs(cursor: psycopg2.extensions.cursor, gatherer: str) -> None:
    cursor.execute(DISTRUST, {"gatherer": gatherer})
    cursor.execute(DROP_MARKS, {"gatherer": gatherer})
    log.error(
        "a gatherer's database was replaced or put back; its present run counts no more, so restart it if it runs",
        gatherer=gatherer,
    )
