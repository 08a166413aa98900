import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.clock import now_us
from app.storage.write_queue import RowBuffer
from tests.processes import wait_until


def numbered(*numbers):
    return [(number,) for number in numbers]


@pytest.fixture
def beside():
    """Runs something in a thread of its own, and joins it at the end."""
    threads = []

    def start(function):
        threads.append(threading.Thread(target=function))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


def test_rows_stay_until_they_are_dropped():
    buffer = RowBuffer(100)
    buffer.put(numbered(1, 2, 3))
    assert buffer.first(2) == buffer.first(2) == (numbered(1, 2), 2)
    assert buffer.drop_through(2) == 2
    assert buffer.first(2) == (numbered(3), 3)


def test_what_was_dropped_meanwhile_is_not_dropped_twice():
    buffer = RowBuffer(100)
    buffer.put(numbered(1, 2, 3))
    _, end = buffer.first(2)
    buffer.drop_through(3)
    buffer.put(numbered(4))
    assert buffer.drop_through(end) == 0
    assert buffer.first(9) == (numbered(4), 4)


@given(st.lists(st.one_of(st.integers(0, 5), st.tuples(st.integers(1, 5), st.booleans()))))
def test_everything_comes_out_once_in_order_and_its_age_is_known(steps):
    """A number of rows is put; a pair takes so many, and drops them or not."""
    buffer = RowBuffer(1_000)
    put, taken = [], []
    for at_us, step in enumerate(steps, 1):
        if isinstance(step, int):
            put += [(at_us, number) for number in range(step)]
            buffer.put(put[-step:] if step else [], at_us)
        else:
            rows, end = buffer.first(step[0])
            if step[1]:
                assert buffer.drop_through(end) == len(rows)
                taken += rows
        waiting = put[len(taken) :]
        assert len(buffer) == len(waiting)
        assert buffer.oldest_us == (waiting[0][0] if waiting else None)
    assert taken + buffer.first(1_000)[0] == put


def test_rows_wait_since_they_were_put_unless_they_waited_before():
    buffer = RowBuffer(100)
    before_us = now_us()
    buffer.put(numbered(1))
    assert before_us <= buffer.oldest_us <= now_us()
    buffer.put(numbered(2), 5)
    assert buffer.oldest_us == 5
    buffer.drop_through(2)
    buffer.put(numbered(3), now_us() + 60_000_000)
    assert buffer.oldest_us <= now_us()


def test_whoever_puts_too_much_waits_with_the_rows_taken(beside):
    buffer = RowBuffer(2)
    buffer.put(numbered(1, 2))
    putting = beside(lambda: buffer.put(numbered(3)))
    wait_until(lambda: len(buffer) == 3)
    assert putting.is_alive()
    buffer.drop_through(1)
    putting.join(120)
    assert not putting.is_alive()


def test_an_empty_buffer_is_waited_for_until_something_comes(beside):
    buffer = RowBuffer(100)
    assert not buffer.wait_for_rows(10, batch_seconds=0, idle_seconds=0.01)
    seen = []
    beside(lambda: seen.append(buffer.wait_for_rows(10, batch_seconds=0, idle_seconds=60)))
    buffer.put(numbered(1))
    wait_until(lambda: seen == [True])


def test_a_full_batch_does_not_wait_for_its_time(beside):
    buffer = RowBuffer(100)
    buffer.put(numbered(1))
    seen = []
    beside(lambda: seen.append(buffer.wait_for_rows(3, batch_seconds=60, idle_seconds=60)))
    buffer.put(numbered(2, 3))
    wait_until(lambda: seen == [True])


def test_rows_that_have_waited_long_enough_wait_for_no_others():
    buffer = RowBuffer(100)
    buffer.put(numbered(1), now_us() - 60_000_000)
    assert buffer.wait_for_rows(3, batch_seconds=60, idle_seconds=60)


def test_who_waits_for_room_is_let_go_when_it_is_to_end():
    buffer = RowBuffer(1)
    waiting = threading.Thread(target=buffer.put, args=([(1,), (2,)],), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    buffer.release()
    waiting.join(120)
    assert not waiting.is_alive()
    buffer.put([(3,)])
    assert len(buffer) == 3


def test_asking_for_the_oldest_costs_the_same_however_many_wait():
    buffer = RowBuffer(100_000)
    for number in range(50_000):
        buffer.put([(number,)])
    started = time.perf_counter()
    for _ in range(100):
        assert buffer.oldest_us is not None
    assert time.perf_counter() - started < 0.1
