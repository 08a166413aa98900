"""The worker of jobs that users request through the admin API: backfills and exports.

In: rows of production's jobs table, claimed one at a time. Out: progress, the outcome, or a job given back.
"""

import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg2.extensions

from app.errors import DatabaseError, OperatorError
from app.postgres.connection import Asker
from app.postgres.dsn import Dsn
from app.runtime import jobs, logs
from app.runtime.backoff import Backoff
from app.runtime.health import StoppedError, Stopping
from app.runtime.jobs import Job
from app.runtime.threads import Offload
from workers.process.loop import Loop

log = logs.get(__name__)

# Works piece by piece on what the parameters describe, and yields its progress after each piece. Must be idempotent.
Task = Callable[[Mapping[str, Any]], Iterator[str]]
Result = TypeVar("Result")

IDLE_SECONDS = 2.0
RETRY_SECONDS = 60.0
NOTHING = "There was nothing to be done."


class JobWorker:
    """Run the jobs of the given kinds, one after the other."""

    def __init__(
        self,
        production: Dsn,
        tasks: Mapping[str, Task],
        offload: Offload,
        stopping: Stopping,
        idle_seconds: float = IDLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._asker = Asker(production, "jobs", offload)
        self._tasks = tasks
        self._stopping = stopping
        backoff = Backoff(retry_seconds, retry_seconds)
        self._loop = Loop(self._do_next, idle_seconds, stopping, on_failure=_not_done, backoff=backoff)
        self._name = f"{socket.gethostname()} {uuid.uuid4().hex[:12]}"

    def run(self) -> None:
        self._loop.run()

    def step(self) -> bool:
        """Run the oldest waiting job. Return False if there is none, or if the database is unreachable."""
        return self._loop.step()

    def _do_next(self) -> bool:
        job = self._ask(lambda cursor: jobs.claim(cursor, list(self._tasks), self._name))
        if job is not None:
            self._do(job)
        return job is not None

    def _do(self, job: Job) -> None:
        log.info("job started", job=job.job_id, kind=job.kind, parameters=job.parameters)
        try:
            outcome = self._work(job)
        except DatabaseError as error:
            # It may be temporary: give the job back with the obstacle, which users see while it waits.
            obstacle = str(error)
            self._ask(lambda cursor: jobs.give_back(cursor, job, self._name, obstacle))
            raise
        except StoppedError:
            self._ask(lambda cursor: jobs.give_back(cursor, job, self._name))
        except OperatorError as error:
            self._end(job, succeeded=False, outcome=str(error))
        except Exception as error:
            # An unexpected error ends this process. The job must fail with it, or it would end the next process that
            # claims it.
            self._end(job, succeeded=False, outcome=repr(error))
            raise
        else:
            self._end(job, succeeded=True, outcome=outcome)

    def _work(self, job: Job) -> str:
        """Run the task piece by piece. Return its last progress; stop early if another process took the job over."""
        progress = NOTHING
        for progress in self._tasks[job.kind](job.parameters):
            if not self._goes_on(job, progress):
                log.info("job taken over by another process", job=job.job_id)
                break
            if self._stopping.is_set():
                raise StoppedError
        return progress

    def _goes_on(self, job: Job, progress: str) -> bool:
        """Store the progress. Return False if the job is no longer this process's."""
        return self._ask(lambda cursor: jobs.goes_on(cursor, job, self._name, progress))

    def _end(self, job: Job, *, succeeded: bool, outcome: str) -> None:
        if self._ask(lambda cursor: jobs.end(cursor, job, self._name, succeeded, outcome)):
            log.info("job finished", job=job.job_id, succeeded=succeeded, outcome=outcome)

    def _ask(self, question: Callable[[psycopg2.extensions.cursor], Result]) -> Result:
        def asked(connection: psycopg2.extensions.connection) -> Result:
            with connection, connection.cursor() as cursor:
                return question(cursor)

        return self._asker(asked)


def _not_done(error: str) -> None:
    # A job in progress was given back, or its claim lapses and another process takes it over.
    log.error("job queue unavailable: retrying", error=error)
