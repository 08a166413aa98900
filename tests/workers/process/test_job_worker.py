"""What becomes of a job that somebody asked for, whatever its task does."""

import threading

import pytest
from psycopg2.extras import Json

from app.errors import DatabaseError, OperatorError
from app.runtime import jobs
from app.runtime.health import StoppedError
from app.runtime.threads import inline
from tests.gatherers import execute
from workers.process.job_worker import NOTHING, JobWorker


@pytest.fixture
def ask_for(production):
    def ask(**parameters):
        query = "INSERT INTO jobs (kind, parameters, asked_by) VALUES ('backfill', %s, 'ada') RETURNING job_id"
        return execute(production, query, (Json(parameters),))[0][0]

    return ask


@pytest.fixture
def worker_of(production):
    def make(task, stopping=None):
        return JobWorker(production, {jobs.BACKFILL: task}, inline, stopping or threading.Event(), retry_seconds=0)

    return make


def states(production):
    return execute(production, "SELECT state, outcome FROM jobs ORDER BY job_id")


def count(parameters):
    for number in range(parameters.get("until", 2)):
        yield f"{number + 1} done"


def failing(error):
    def task(_parameters):
        yield "half of it"
        raise error

    return task


def test_jobs_are_done_in_their_order_and_say_how_far_they_came(production, ask_for, worker_of):
    worker = worker_of(count)
    for until in (3, 0):
        ask_for(until=until)
    assert worker.step()
    assert states(production) == [("done", "3 done"), ("queued", None)]
    assert worker.step()
    assert states(production)[1] == ("done", NOTHING)
    assert not worker.step()


def test_progress_is_told_while_it_runs(production, ask_for, worker_of):
    seen = []

    def task(_parameters):
        for number in range(2):
            yield f"{number} done"
            seen.extend(states(production))

    ask_for()
    worker_of(task).step()
    assert seen == [("running", "0 done"), ("running", "1 done")]


def test_what_an_operator_can_mend_is_told_in_the_job(production, ask_for, worker_of):
    ask_for()
    assert worker_of(failing(OperatorError("No room.", "The disk is full.", "make some."))).step()
    assert states(production) == [("failed", "No room.\nThe disk is full.\nFix: make some.")]


def test_what_nobody_expected_is_told_in_the_job_and_ends_the_process(production, ask_for, worker_of):
    ask_for()
    with pytest.raises(LookupError):
        worker_of(failing(LookupError("what?"))).step()
    assert states(production) == [("failed", "LookupError('what?')")]


def test_a_job_whose_database_failed_says_so_and_is_in_line_again(production, ask_for, worker_of):
    ask_for(until=1)
    assert not worker_of(failing(DatabaseError("It is away."))).step()
    assert states(production) == [("queued", "It is away.")]
    assert worker_of(count).step()
    assert states(production) == [("done", "1 done")]


def test_a_job_whose_database_fails_again_and_again_keeps_no_other_waiting(production, ask_for, worker_of):
    def task(parameters):
        if parameters["is_bad"]:
            raise DatabaseError("It is away.")
        yield "done"

    for is_bad in (True, True, False):
        ask_for(is_bad=is_bad)
    worker = worker_of(task)
    for _ in range(3):
        worker.step()
    assert states(production) == [("queued", "It is away."), ("queued", "It is away."), ("done", "done")]
    execute(production, "UPDATE jobs SET parameters = '{\"is_bad\": false}'")
    assert worker.step()
    assert states(production)[0] == ("done", "done"), "the one that was tried first is tried again first"


def test_a_job_that_was_interrupted_is_gone_on_with_before_later_ones(production, ask_for, worker_of):
    stopping = threading.Event()

    def task(_parameters):
        stopping.set()
        yield "begun"

    for _ in range(2):
        ask_for(until=1)
    worker_of(task, stopping).step()
    worker_of(count).step()
    assert [state for state, _ in states(production)] == ["done", "queued"]


def test_a_job_whose_process_died_is_claimed_again_by_another(production, ask_for, worker_of):
    ask_for(until=1)
    execute(production, "UPDATE jobs SET state = 'running', claimed_by = 'who died', claimed_at = now()")
    assert not worker_of(count).step(), "it may still be at it"
    execute(production, "UPDATE jobs SET claimed_at = claimed_at - INTERVAL '31 minutes'")
    assert worker_of(count).step()
    assert states(production) == [("done", "1 done")]


@pytest.mark.parametrize("is_told_by_its_task", [True, False])
def test_who_stops_gives_the_job_back(production, ask_for, worker_of, is_told_by_its_task):
    stopping = threading.Event()

    def task(_parameters):
        stopping.set()
        if is_told_by_its_task:
            raise StoppedError
        yield "1 done"
        raise AssertionError("it was to stop")

    ask_for(until=1)
    worker_of(task, stopping).step()
    assert states(production)[0][0] == "queued"
    assert worker_of(count).step()
    assert states(production) == [("done", "1 done")]


def test_a_job_that_is_cancelled_while_it_runs_goes_no_further(production, ask_for, worker_of):
    done = []

    def task(_parameters):
        for number in range(3):
            done.append(number)
            execute(production, "UPDATE jobs SET state = 'cancelled'")
            yield f"{number} done"

    ask_for()
    assert worker_of(task).step()
    assert (done, states(production)) == ([0], [("cancelled", None)])


def test_jobs_of_other_kinds_are_left_to_others(production, worker_of):
    execute(production, "INSERT INTO jobs (kind, parameters, asked_by) VALUES ('export', '{}', 'ada')")
    assert not worker_of(count).step()
    assert states(production) == [("queued", None)]
