import threading

import pytest

from app.runtime.clock import now_us
from app.storage.spool.spool import Spool, SpoolError
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.write_queue import PATIENCE_SECONDS, SLOW_WRITE_SECONDS, RowBuffer, WriteQueue
from tests.clock import Clock
from tests.storage import rows

LONG_AGO_US = now_us() - int(4 * PATIENCE_SECONDS * 1_000_000)
FAR_AHEAD_US = now_us() + 86_400_000_000  # the tests may run long after this


class Room:
    is_full = False

    def __call__(self, _added_bytes):
        if self.is_full:
            raise SpoolError("The spool is full.")


@pytest.fixture
def room():
    return Room()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, room, clock):
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, room)
    yield WriteQueue(RowBuffer(100), spool, clock=clock)
    spool.close()


def deltas(first, last, received_us=None):
    received_us = received_us or now_us()
    return [(row[0], received_us, *row[2:]) for row in (rows.delta(clock=clock) for clock in range(first, last))]


def take(queue, max_rows=10):
    return queue.take(max_rows, batch_seconds=0, idle_seconds=0)


def clocks(queue, max_rows=10):
    """All that is left, written as it is taken."""
    found = []
    while batch := take(queue, max_rows):
        found += [row[2] for row in batch.rows]
        queue.written(batch)
    return found


def test_rows_come_in_their_order_and_are_gone_when_written(queue):
    queue.put(deltas(0, 25))
    assert clocks(queue) == list(range(25))
    assert (queue.waiting_rows, queue.waiting_since_us, queue.spool_bytes) == (0, None, 0)


def test_rows_that_were_not_written_come_again(queue):
    queue.put(deltas(0, 25))
    take(queue)
    queue.not_written("the reason")
    assert queue.away == "the reason"
    assert clocks(queue) == list(range(25))
    assert queue.away is None


def test_rows_on_disk_come_before_newer_ones(queue):
    queue.put(deltas(0, 25))
    assert queue.spill() == 25
    queue.put(deltas(25, 30))
    assert queue.waiting_rows == 5
    assert clocks(queue) == list(range(30))


def test_rows_that_are_being_written_go_to_disk_before_newer_ones(queue):
    queue.put(deltas(0, 10))
    batch = take(queue)
    queue.put(deltas(10, 20))
    assert queue.spill() == 20
    queue.not_written("lost after all")
    assert clocks(queue) == list(range(20))
    queue.put(deltas(20, 30))
    batch = take(queue)
    queue.spill()
    queue.written(batch)
    assert clocks(queue) == list(range(20, 30))


def test_no_row_overtakes_older_ones_that_go_to_disk_meanwhile(tmp_path, room):
    class Interrupted(RowBuffer):
        """The spiller moves all rows to disk while the writer looks for the oldest ones, and another one arrives."""

        spilling = None

        def first(self, max_rows):
            if self.spilling is None:
                self.spilling = threading.Thread(target=queue.spill)
                self.spilling.start()
                self.spilling.join(0.2)  # it goes on only after the writer
                queue.put(deltas(10, 11))
            return super().first(max_rows)

    buffer = Interrupted(100)
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, room)
    queue = WriteQueue(buffer, spool)
    queue.put(deltas(0, 10))
    taken = take(queue)
    buffer.spilling.join()
    assert [row[2] for row in taken.rows] == list(range(10))
    queue.written(taken)
    assert clocks(queue) == list(range(11))
    spool.close()


def test_they_wait_since_the_oldest_was_received(queue):
    queue.put(deltas(0, 1))
    queue.put(deltas(1, 2, LONG_AGO_US))
    assert queue.waiting_since_us == LONG_AGO_US
    take(queue)
    assert queue.waiting_since_us == LONG_AGO_US
    queue.spill()
    assert queue.waiting_since_us is None


@pytest.mark.parametrize(
    "put",
    [deltas(0, 50, LONG_AGO_US), deltas(0, 80, FAR_AHEAD_US)],
    ids=["half full and old", "more than that and new"],
)
def test_as_long_as_the_database_keeps_up_nothing_goes_to_disk(queue, put):
    queue.put(put)
    take(queue)
    assert not queue.should_spill()


@pytest.mark.parametrize(
    "put",
    [deltas(0, 51, LONG_AGO_US), deltas(0, 81, FAR_AHEAD_US)],
    ids=["more than half full and old", "nearly full"],
)
def test_rows_go_to_disk_before_whoever_brings_them_has_to_wait(queue, put):
    queue.put(put)
    take(queue, 1)
    assert queue.should_spill()


@pytest.mark.parametrize("put", [deltas(0, 51), deltas(0, 1, LONG_AGO_US)], ids=["many", "old"])
def test_rows_go_to_disk_when_a_write_is_slow_or_fails_or_others_are_there(queue, clock, put):
    queue.put(put)
    batch = take(queue)
    clock.seconds += 3 * SLOW_WRITE_SECONDS
    assert queue.should_spill()
    queue.not_written("away")
    assert queue.should_spill()
    queue.spill()
    assert not queue.should_spill()
    batch = take(queue)
    queue.put(put)
    assert queue.should_spill()
    queue.written(batch)


@pytest.mark.parametrize("put", [deltas(0, 51), deltas(0, 1, LONG_AGO_US)], ids=["many", "old"])
def test_rows_that_come_while_older_ones_are_on_disk_follow_them_there(queue, put):
    queue.put(deltas(0, 1))
    queue.spill()
    queue.put(put)
    assert (queue.away, queue.should_spill()) == (None, True)


@pytest.mark.parametrize(("waiting", "taken"), [(25, 5), (26, 20), (100, 20)])
def test_a_database_that_is_behind_gets_larger_batches(queue, waiting, taken):
    queue.put(deltas(0, waiting))
    assert len(take(queue, 5).rows) == taken


def test_rows_on_disk_are_replayed_in_larger_batches(queue):
    for clock in range(30):
        queue.put(deltas(clock, clock + 1))
        queue.spill()
    assert len(take(queue, 5).rows) == 20


def test_a_larger_batch_may_take_longer(queue, clock):
    queue.put(deltas(0, 80))
    assert len(take(queue, 5).rows) == 20
    clock.seconds += 3 * SLOW_WRITE_SECONDS
    assert not queue.should_spill()
    clock.seconds += 2 * SLOW_WRITE_SECONDS
    assert queue.should_spill()


def test_few_new_rows_wait_in_memory(queue):
    queue.put(deltas(0, 10, FAR_AHEAD_US))
    take(queue)
    queue.not_written("away")
    assert not queue.should_spill()


def test_what_a_full_disk_refuses_stays_in_memory(queue, room):
    queue.put(deltas(0, 10))
    room.is_full = True
    with pytest.raises(SpoolError):
        queue.spill()
    assert "full" in queue.refusal
    assert queue.waiting_rows == 10
    room.is_full = False
    assert queue.spill() == 10
    assert queue.refusal is None
    assert clocks(queue) == list(range(10))
