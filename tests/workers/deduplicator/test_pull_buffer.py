from types import SimpleNamespace

import gevent

from app.errors import DatabaseError
from app.merge.position import Position, Pull
from app.runtime.events import Event
from app.runtime.threads import inline
from workers.deduplicator.puller import PullBuffer, Puller
from workers.process.loop import IdlePace

START, MIDDLE, END = Position(1, 0), Position(1, 10, 5), Position(1, 20, 6)
NOW = 0.001


def pull(after, through):
    return Pull(after, through, rows=10, content=b"rows")


def test_a_batch_is_read_ahead_while_the_one_before_it_is_merged():
    inbox = PullBuffer()
    inbox.open({"a": START})
    assert inbox.wanted("a", NOW) == START
    inbox.put("a", pull(START, MIDDLE))
    assert inbox.wanted("a", NOW) is None
    assert inbox.take(NOW).pulls == {"a": pull(START, MIDDLE)}
    assert inbox.wanted("a", NOW) == MIDDLE


def test_all_that_is_there_is_taken_at_once():
    inbox = PullBuffer()
    inbox.open({"a": START, "b": START, "c": START})
    inbox.put("a", pull(START, MIDDLE))
    inbox.put("c", pull(START, END))
    inbox.put_failure("b", "it is down")
    assert inbox.take(NOW) == ({"a": pull(START, MIDDLE), "c": pull(START, END)}, {"b": "it is down"})
    assert inbox.take(NOW) == ({}, {})


def test_what_was_read_before_a_failure_is_dropped():
    inbox = PullBuffer()
    inbox.open({"a": START})
    inbox.put("a", pull(START, MIDDLE))
    inbox.close()
    assert inbox.wanted("a", NOW) is None
    inbox.open({"a": START})
    inbox.put("a", pull(MIDDLE, END))
    assert inbox.take(NOW).pulls == {}
    inbox.put("a", pull(START, END))
    assert inbox.take(NOW).pulls == {"a": pull(START, END)}


class Away:
    """A gatherer's table whose database does not answer."""

    gatherer = "a"
    table = SimpleNamespace(name="trades")

    def pull(self, _after):
        raise DatabaseError("It is away.")


def test_a_wait_for_the_merger_makes_no_gatherer_that_is_away_be_asked_sooner():
    inbox = PullBuffer()
    puller = Puller(Away(), inbox, 0, IdlePace(0.1, 0.3), inline, Event())
    pauses = []
    for _ in range(3):
        inbox.close()
        step = gevent.spawn(puller.step)
        gevent.sleep(0)
        inbox.open({"a": START})
        assert not step.get(timeout=120)
        pauses.append(puller._loop.pause_seconds)
    assert [limit / 2 <= pause <= limit for pause, limit in zip(pauses, (1, 2, 4), strict=True)] == [True] * 3


def test_a_puller_that_waits_for_its_merger_ends_when_it_is_stopped():
    stopping = Event()
    step = gevent.spawn(Puller(Away(), PullBuffer(), 0, IdlePace(0.1, 0.3), inline, stopping).step)
    gevent.sleep(0)
    stopping.set()
    assert not step.get(timeout=120)
