"""Queue work that operators request and worker processes do, in a table from which each process claims jobs.

A job runs while its claimer confirms it from time to time. A claimer that is silent for long is taken for dead and the
job is claimed again, so a job may be done twice, and must tolerate that.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg2.extensions
from psycopg2.extras import Json

# Longer than any step of a job takes, including the wait behind other jobs of its process.
SILENCE = timedelta(minutes=30)
BACKFILL, EXPORT = KINDS = ("backfill", "export")

ASK = "INSERT INTO jobs (kind, parameters, asked_by) VALUES (%s, %s, %s) RETURNING job_id"
# SKIP LOCKED lets processes that claim together take different jobs instead of waiting for each other.
CLAIM = """
    UPDATE jobs SET state = 'running', claimed_by = %(claimer)s, claimed_at = now()
    WHERE job_id = (
        SELECT job_id FROM jobs
        WHERE kind = ANY (%(kinds)s)
            AND (state = 'queued' OR (state = 'running' AND claimed_at < now() - %(silence)s))
        ORDER BY claimed_at NULLS FIRST, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING job_id, kind, parameters
"""
# This and later statements name the claimer: a former claimer cannot change a job that another has claimed since.
GO_ON = """
    UPDATE jobs SET claimed_at = now(), outcome = %s WHERE job_id = %s AND claimed_by = %s AND state = 'running'
"""
GIVE_BACK = """
    UPDATE jobs
    SET state = 'queued', outcome = coalesce(%(obstacle)s, outcome),
        claimed_at = CASE WHEN %(obstacle)s IS NOT NULL THEN claimed_at END
    WHERE job_id = %(job_id)s AND claimed_by = %(claimer)s AND state = 'running'
"""
END = """
    UPDATE jobs SET state = %s, outcome = %s, ended_at = now()
    WHERE job_id = %s AND claimed_by = %s AND state = 'running'
"""
CANCEL = "UPDATE jobs SET state = 'cancelled', ended_at = now() WHERE job_id = %s AND state IN ('queued', 'running')"


class Job(NamedTuple):
    job_id: int
    kind: str
    parameters: dict[str, Any]


def ask_for(cursor: psycopg2.extensions.cursor, kind: str, parameters: Mapping[str, Any], asked_by: str) -> int:
    """Queue a job. Return its id."""
    cursor.execute(ASK, (kind, Json(dict(parameters)), asked_by))
    (job_id,) = cursor.fetchone() or (0,)
    return int(job_id)


def claim(cursor: psycopg2.extensions.cursor, kinds: Sequence[str], claimer: str) -> Job | None:
    """Claim the job that has waited longest, jobs without an obstacle first. Return None if there is none.

    `claimer` is a name that no other process has.
    """
    cursor.execute(CLAIM, {"kinds": list(kinds), "claimer": claimer, "silence": SILENCE})
    found = cursor.fetchone()
    return Job(*found) if found else None


def goes_on(cursor: psycopg2.extensions.cursor, job: Job, claimer: str, progress: str) -> bool:
    """Confirm the job after each step. Return False if it was cancelled or is another claimer's now."""
    cursor.execute(GO_ON, (progress, job.job_id, claimer))
    return cursor.rowcount == 1


def give_back(cursor: psycopg2.extensions.cursor, job: Job, claimer: str, obstacle: str | None = None) -> None:
    """Queue the job again.

    The next claimer begins with it; after an obstacle, with jobs that met none or that were tried before it.
    """
    cursor.execute(GIVE_BACK, {"obstacle": obstacle, "job_id": job.job_id, "claimer": claimer})


def end(cursor: psycopg2.extensions.cursor, job: Job, claimer: str, succeeded: bool, outcome: str) -> bool:
    """Record the job's outcome. Return False if it was cancelled or is another claimer's now."""
    cursor.execute(END, ("done" if succeeded else "failed", outcome, job.job_id, claimer))
    return cursor.rowcount == 1


def cancel(cursor: psycopg2.extensions.cursor, job_id: int) -> bool:
    """Cancel the job. Return False if it has already ended."""
    cursor.execute(CANCEL, (job_id,))
    return cursor.rowcount == 1
