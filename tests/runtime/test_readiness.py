import pytest

from app.runtime.health import Latch
from tests.clock import Clock


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def latch(clock):
    return Latch(60, clock)


def test_what_was_never_ready_says_so_at_once(latch):
    assert latch("nothing is heard") == "nothing is heard"


def test_a_reason_of_a_moment_does_not_count_and_one_that_stays_does(latch, clock):
    assert latch(None) is None
    clock.seconds += 59
    assert latch("deaf") is None
    clock.seconds += 1
    assert latch("deaf") == "deaf"
    clock.seconds += 1
    assert latch("deaf") == "deaf"


def test_each_time_it_is_ready_counts_anew(latch, clock):
    for _ in range(5):
        assert latch(None) is None
        clock.seconds += 50
        assert latch("deaf") is None
        clock.seconds += 50
