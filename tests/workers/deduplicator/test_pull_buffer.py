from app.merge.position import Position, Pull
from workers.deduplicator.puller import PullBuffer

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
