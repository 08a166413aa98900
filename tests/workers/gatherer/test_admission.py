"""The queue in which a process's sockets wait to be opened: whoever is not woken here would wait for an hour."""

import gevent
import pytest

from app.kalshi.errors import HandshakeRefusedError
from app.runtime.events import Event
from workers.gatherer.admission import Admission

HOUR_SECONDS = 3_600
DEADLINE_SECONDS = 30


class Exchange:
    def __init__(self):
        self.is_open = True


@pytest.fixture
def stopping():
    event = Event()
    yield event
    event.set()


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def admission(stopping, exchange):
    return Admission(stopping, lambda: exchange.is_open, connects_per_second=1_000)


def all_done(greenlets):
    gevent.joinall(greenlets, timeout=DEADLINE_SECONDS)
    return all(greenlet.ready() for greenlet in greenlets)


def test_when_the_exchange_opens_nobody_sleeps_on(admission, exchange):
    exchange.is_open = False
    waiting = [gevent.spawn(admission.wait, is_of_books=True) for _ in range(20)]
    resting = [gevent.spawn(admission.pause, HOUR_SECONDS) for _ in range(20)]
    gevent.sleep(0)
    assert not any(greenlet.ready() for greenlet in (*waiting, *resting))
    exchange.is_open = True
    assert all_done([*waiting, *resting])
    assert all(greenlet.value for greenlet in (*waiting, *resting))


def test_the_first_that_is_let_in_wakes_those_that_rest(admission):
    turn = admission.wait(is_of_books=True)
    admission.failed(turn, HandshakeRefusedError(503, ""))
    resting = [gevent.spawn(admission.pause, HOUR_SECONDS) for _ in range(5)]
    gevent.sleep(0)
    admission.opened(admission.wait(is_of_books=True))
    assert all_done(resting)
    assert all(greenlet.value for greenlet in resting)


def test_an_exchange_that_calls_itself_closed_and_lets_one_in_is_asked_by_all(admission, exchange):
    def dial():
        admission.opened(admission.wait(is_of_books=True))

    turn = admission.wait(is_of_books=True)
    exchange.is_open = False
    waiting = [gevent.spawn(dial) for _ in range(20)]
    gevent.sleep(0)
    assert not any(greenlet.ready() for greenlet in waiting)
    admission.opened(turn)
    assert all_done(waiting)


def test_a_rest_ends_by_itself(admission):
    assert not admission.pause(0.01)


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_refusal_says_that_the_exchange_is_there_and_lets_nobody_in(admission, status):
    admission.failed(admission.wait(is_of_books=True), HandshakeRefusedError(status, ""))
    assert admission.is_refusing
    with gevent.Timeout(0.2, exception=False):
        assert admission.wait(is_of_books=True) is None, "the next attempt is not at once"


def test_whoever_waits_ends_with_the_process(admission, exchange, stopping):
    exchange.is_open = False
    greenlets = [gevent.spawn(admission.wait, is_of_books=False), gevent.spawn(admission.pause, HOUR_SECONDS)]
    gevent.sleep(0)
    stopping.set()
    assert all_done(greenlets)
    assert [greenlet.value for greenlet in greenlets] == [None, False]
