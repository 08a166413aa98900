"""A worker's loop, with a stop event that notes how long was waited for it; and beside other greenlets."""

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DatabaseError
from app.runtime.backoff import Backoff
from app.runtime.events import Event
from workers.process.group import Group
from workers.process.loop import LONGEST_RETRY_SECONDS, IdlePace, Loop, database_backoff

IDLE_SECONDS = 7.0
AWAY = DatabaseError("It is away.")


class Waits:
    """Set after so many waits, whose seconds it keeps."""

    def __init__(self, most):
        self.seconds = []
        self._most = most

    def is_set(self):
        return len(self.seconds) > self._most

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return self.is_set()


def run(*outcomes, idle_seconds=IDLE_SECONDS, **options):
    """A loop whose steps end so, one after the other. Return the waits before each step, and after the last one."""
    stopping, left = Waits(len(outcomes)), list(outcomes)

    def step():
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    Loop(step, idle_seconds, stopping, **options).run()
    assert left == []
    return stopping.seconds


def test_it_waits_only_while_there_is_nothing_more_to_do():
    assert run(True, True, False, None, True) == [0, 0, 0, IDLE_SECONDS, IDLE_SECONDS, 0]


def test_the_first_step_may_have_to_wait():
    assert run(False, first_seconds=60.0) == [60, IDLE_SECONDS]


def test_the_idle_time_may_change():
    seconds = iter([3.0, 1.0])
    assert run(False, True, False, idle_seconds=lambda: next(seconds)) == [0, 3, 0, 1]


def test_after_a_stop_no_step_is_made():
    stopping = Event()
    stopping.set()
    Loop(lambda: pytest.fail("it was to stop"), IDLE_SECONDS, stopping).run()


def test_an_expected_failure_is_told_and_waited_out_ever_longer_until_a_step_succeeds():
    told = []
    outcomes = [AWAY, AWAY, AWAY, True, AWAY, False]
    waits = run(*outcomes, on_failure=told.append, backoff=Backoff(1, 3))
    assert waits == [0, 1, 2, 3, 0, 1, IDLE_SECONDS]
    assert told == ["It is away."] * 4


def test_without_a_backoff_the_next_step_after_a_failure_is_made_when_it_would_be_anyway():
    assert run(AWAY, False, on_failure=lambda _error: None) == [0, IDLE_SECONDS, IDLE_SECONDS]


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (AWAY, {}),
        (LookupError("what?"), {"on_failure": pytest.fail}),
        (AWAY, {"on_failure": pytest.fail, "expected": (LookupError,)}),
    ],
)
def test_what_is_not_expected_ends_the_loop(error, options):
    with pytest.raises(type(error)):
        run(error, **options)


def test_it_knows_why_the_latest_step_failed():
    outcomes = [AWAY, None]

    def step():
        if outcome := outcomes.pop(0):
            raise outcome

    loop = Loop(step, IDLE_SECONDS, Waits(0), on_failure=lambda _error: None)
    assert (loop.step(), loop.failure) == (False, "It is away.")
    assert (loop.step(), loop.failure) == (False, None)


def test_a_loop_that_is_run_again_begins_as_the_first_time():
    """As that of a component which halted."""
    stopping, steps = Waits(1), []
    loop = Loop(lambda: steps.append(1), IDLE_SECONDS, stopping, first_seconds=60.0)
    loop.run()
    stopping.seconds.clear()
    loop.run()
    assert stopping.seconds == [60, IDLE_SECONDS]


@given(st.lists(st.sampled_from([True, False, None, AWAY]), max_size=40), st.floats(0, 60), st.floats(0.1, 5))
def test_every_wait_is_what_the_step_before_it_asks_for(outcomes, first_seconds, first_retry_seconds):
    backoff = Backoff(first_retry_seconds, 30)
    expected = [first_seconds]
    for outcome in outcomes:
        if outcome is AWAY:
            expected.append(backoff.failed())
        else:
            backoff.succeeded()
            expected.append(0 if outcome else IDLE_SECONDS)
    options = {"on_failure": lambda _error: None, "backoff": Backoff(first_retry_seconds, 30)}
    assert run(*outcomes, first_seconds=first_seconds, **options) == expected


def test_a_busy_loop_lets_others_run_and_ends_when_it_is_stopped():
    group, steps = Group(), []
    busy = Loop(lambda: steps.append(1) or True, IDLE_SECONDS, group.stopping)

    def stop():
        while len(steps) < 100:
            gevent.sleep(0)
        group.stopping.set()

    group.spawn(busy.run)
    group.spawn(stop)
    with gevent.Timeout(120):
        group.join()
    assert len(steps) >= 100


def test_an_idle_loop_ends_at_once_when_it_is_stopped():
    group = Group()
    group.spawn(Loop(lambda: False, 3_600, group.stopping).run)
    group.spawn(group.stopping.set)
    with gevent.Timeout(120):
        group.join()


def test_an_unexpected_error_of_a_step_stops_the_others_of_its_group():
    group = Group()

    def fail():
        raise LookupError("what?")

    group.spawn(Loop(lambda: False, 3_600, group.stopping).run)
    group.spawn(Loop(fail, 3_600, group.stopping, on_failure=pytest.fail).run)
    with gevent.Timeout(120), pytest.raises(LookupError):
        group.join()


@given(st.integers(1, 20))
def test_workers_of_a_database_that_is_away_do_not_return_together(failures):
    backoffs = [database_backoff() for _ in range(10)]
    waits = [[backoff.failed() for _ in range(failures)][-1] for backoff in backoffs]
    assert all(0.5 <= wait <= LONGEST_RETRY_SECONDS for wait in waits)
    assert len(set(waits)) == 10


def paces(pace, *findings):
    seen = []
    for rows, has_more in findings:
        pace.found(rows, has_more=has_more)
        seen.append(pace.pause_seconds)
    return seen


def test_there_is_no_pause_while_there_is_more_and_a_growing_one_while_there_is_nothing():
    pace = IdlePace(0.1, 0.3)
    assert paces(pace, (9, True), (9, False)) == [0, 0.1]
    assert [round(pause, 3) for pause in paces(pace, *[(0, False)] * 4)] == [0.15, 0.225, 0.3, 0.3]
    assert paces(pace, (1, False)) == [0.1]
