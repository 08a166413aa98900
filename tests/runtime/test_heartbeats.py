import threading

import pytest

from app.runtime.health import Heartbeats, WatchedStopping
from tests.clock import Clock
from tests.processes import wait_until


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def heartbeats(clock):
    return Heartbeats(allowed_seconds=10, clock=clock)


class Stopping:
    """Lets so much time pass by the clock when it is waited for."""

    def __init__(self, clock):
        self._clock = clock
        self.stops = False

    def is_set(self):
        return self.stops

    def wait(self, timeout=None):
        self._clock.seconds += timeout
        return self.stops


def test_a_loop_is_late_when_its_turn_takes_longer_than_allowed(heartbeats, clock):
    quick, patient = heartbeats.of("quick"), heartbeats.of("patient", allowed_seconds=60)
    clock.seconds += 10
    assert heartbeats.late() == []
    clock.seconds += 0.1
    assert heartbeats.late() == ["quick"]
    quick.beat()
    assert heartbeats.late() == []
    clock.seconds += 60
    patient.beat()
    assert heartbeats.late() == ["quick"]


def test_a_loop_may_rest_for_as_long_as_it_said(heartbeats, clock):
    beat = heartbeats.of("resting")
    beat.beat(idle_seconds=600)
    clock.seconds += 610
    assert heartbeats.late() == []
    clock.seconds += 1
    assert heartbeats.late() == ["resting"]


def test_asking_whether_to_stop_shows_that_a_loop_turns(heartbeats, clock):
    stopping = WatchedStopping(Stopping(clock), heartbeats.of("loop"))
    for _ in range(3):
        clock.seconds += 9
        assert not stopping.is_set()
        assert heartbeats.late() == []
    assert not stopping.wait(600)
    clock.seconds += 9
    assert heartbeats.late() == []
    clock.seconds += 2
    assert heartbeats.late() == ["loop"]


def test_while_it_waits_a_loop_is_late_only_when_it_does_not_wake(heartbeats, clock):
    event = threading.Event()
    beat = heartbeats.of("loop")
    stopping = WatchedStopping(event, beat)
    waiting = threading.Thread(target=stopping.wait, args=(600,))
    waiting.start()
    try:
        wait_until(lambda: beat.due > clock.seconds + 600)
        clock.seconds += 500
        assert heartbeats.late() == []
        clock.seconds += 111
        assert heartbeats.late() == ["loop"]
    finally:
        event.set()
        waiting.join()


def test_a_loop_that_was_asked_to_stop_may_take_its_time(heartbeats, clock):
    inner = Stopping(clock)
    inner.stops = True
    assert WatchedStopping(inner, heartbeats.of("draining")).is_set()
    clock.seconds += 3_600
    assert heartbeats.late() == []


def test_two_loops_of_one_name_would_hide_each_other(heartbeats):
    heartbeats.of("writer")
    with pytest.raises(ValueError, match="writer"):
        heartbeats.of("writer")
