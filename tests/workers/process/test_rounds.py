import gevent
import pytest

from app.runtime.events import Event
from workers.process.group import Rounds

LONG_SECONDS = 3_600


@pytest.fixture
def stopping():
    return Event()


def test_a_round_that_is_asked_for_is_made_at_once_and_one_time(stopping):
    rounds = Rounds(LONG_SECONDS, stopping)
    rounds.ask()
    rounds.ask()
    assert rounds.wait()
    with gevent.Timeout(0.05, exception=False):
        rounds.wait()
        pytest.fail("nobody asked")


def test_who_waits_is_woken_by_whoever_asks_or_stops(stopping):
    rounds = Rounds(LONG_SECONDS, stopping)
    for wake, goes_on in ((rounds.ask, True), (stopping.set, False)):
        waiting = gevent.spawn(rounds.wait)
        gevent.sleep(0)
        wake()
        assert waiting.get(timeout=120) is goes_on


def test_after_the_interval_a_round_is_due(stopping):
    assert Rounds(0.001, stopping).wait()
