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
def backlog(tmp_path, room, clock):
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, room)
    yield WriteQueue(RowBuffer(100), spool, clock=clock)
    spool.close()


def deltas(first, last, received_us=None):
    received_us = received_us or now_us()
    return [(row[0], received_us, *row[2:]) for row in (rows.delta(clock=clock) for clock in range(first, last))]


def take(backlog, max_rows=10):
    return backlog.take(max_rows, batch_seconds=0, idle_seconds=0)


def clocks(backlog, max_rows=10):
    """All that is left, written as it is taken."""
    found = []
    while batch := take(backlog, max_rows):
        found += [row[2] for row in batch.rows]
        backlog.written(batch)
    return found


def test_rows_come_in_their_order_and_are_gone_when_written(backlog):
    backlog.put(deltas(0, 25))
    assert clocks(backlog) == list(range(25))
    assert (backlog.waiting_rows, backlog.waiting_since_us, backlog.spool_bytes) == (0, None, 0)


def test_rows_that_were_not_written_come_again(backlog):
    backlog.put(deltas(0, 25))
    take(backlog)
    backlog.not_written("the reason")
    assert backlog.away == "the reason"
    assert clocks(backlog) == list(range(25))
    assert backlog.away is None


def test_rows_on_disk_come_before_newer_ones(backlog):
    backlog.put(deltas(0, 25))
    assert backlog.spill() == 25
    backlog.put(deltas(25, 30))
    assert backlog.waiting_rows == 5
    assert clocks(backlog) == list(range(30))


def test_rows_that_are_being_written_go_to_disk_before_newer_ones(backlog):
    backlog.put(deltas(0, 10))
    batch = take(backlog)
    backlog.put(deltas(10, 20))
    assert backlog.spill() == 20
    backlog.not_written("lost after all")
    assert clocks(backlog) == list(range(20))
    backlog.put(deltas(20, 30))
    batch = take(backlog)
    backlog.spill()
    backlog.written(batch)
    assert clocks(backlog) == list(range(20, 30))


def test_no_row_overtakes_older_ones_that_go_to_disk_meanwhile(tmp_path, room):
    class Interrupted(RowBuffer):
        """The spiller moves all rows to disk while the writer looks for the oldest ones, and another one arrives."""

        spilling = None

        def first(self, max_rows):
            if self.spilling is None:
                self.spilling = threading.Thread(target=backlog.spill)
                self.spilling.start()
                self.spilling.join(0.2)  # it goes on only after the writer
                backlog.put(deltas(10, 11))
            return super().first(max_rows)

    buffer = Interrupted(100)
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, room)
    backlog = WriteQueue(buffer, spool)
    backlog.put(deltas(0, 10))
    taken = take(backlog)
    buffer.spilling.join()
    assert [row[2] for row in taken.rows] == list(range(10))
    backlog.written(taken)
    assert clocks(backlog) == list(range(11))
    spool.close()


def test_they_wait_since_the_oldest_was_received(backlog):
    backlog.put(deltas(0, 1))
    backlog.put(deltas(1, 2, LONG_AGO_US))
    assert backlog.waiting_since_us == LONG_AGO_US
    take(backlog)
    assert backlog.waiting_since_us == LONG_AGO_US
    backlog.spill()
    assert backlog.waiting_since_us is None


@pytest.mark.parametrize(
    "put",
    [deltas(0, 50, LONG_AGO_US), deltas(0, 80, FAR_AHEAD_US)],
    ids=["half full and old", "more than that and new"],
)
def test_as_long_as_the_database_keeps_up_nothing_goes_to_disk(backlog, put):
    backlog.put(put)
    take(backlog)
    assert not backlog.should_spill()


@pytest.mark.parametrize(
    "put",
    [deltas(0, 51, LONG_AGO_US), deltas(0, 81, FAR_AHEAD_US)],
    ids=["more than half full and old", "nearly full"],
)
def test_rows_go_to_disk_before_whoever_brings_them_has_to_wait(backlog, put):
    backlog.put(put)
    take(backlog, 1)
    assert backlog.should_spill()


@pytest.mark.parametrize("put", [deltas(0, 51), deltas(0, 1, LONG_AGO_US)], ids=["many", "old"])
def test_rows_go_to_disk_when_a_write_is_slow_or_fails_or_others_are_there(backlog, clock, put):
    backlog.put(put)
    batch = take(backlog)
    clock.seconds += 3 * SLOW_WRITE_SECONDS
    assert backlog.should_spill()
    backlog.not_written("away")
    assert backlog.should_spill()
    backlog.spill()
    assert not backlog.should_spill()
    batch = take(backlog)
    backlog.put(put)
    assert backlog.should_spill()
    backlog.written(batch)


@pytest.mark.parametrize("put", [deltas(0, 51), deltas(0, 1, LONG_AGO_US)], ids=["many", "old"])
def test_rows_that_come_while_older_ones_are_on_disk_follow_them_there(backlog, put):
    backlog.put(deltas(0, 1))
    backlog.spill()
    backlog.put(put)
    assert (backlog.away, backlog.should_spill()) == (None, True)


@pytest.mark.parametrize(("waiting", "taken"), [(25, 5), (26, 20), (100, 20)])
def test_a_database_that_is_behind_gets_larger_batches(backlog, waiting, taken):
    backlog.put(deltas(0, waiting))
    assert len(take(backlog, 5).rows) == taken


def test_rows_on_disk_are_replayed_in_larger_batches(backlog):
    for clock in range(30):
        backlog.put(deltas(clock, clock + 1))
        backlog.spill()
    assert len(take(backlog, 5).rows) == 20


def test_a_larger_batch_may_take_longer(backlog, clock):
    backlog.put(deltas(0, 80))
    assert len(take(backlog, 5).rows) == 20
    clock.seconds += 3 * SLOW_WRITE_SECONDS
    assert not backlog.should_spill()
    clock.seconds += 2 * SLOW_WRITE_SECONDS
    assert backlog.should_spill()


def test_few_new_rows_wait_in_memory(backlog):
    backlog.put(deltas(0, 10, FAR_AHEAD_US))
    take(backlog)
    backlog.not_written("away")
    assert not backlog.should_spill()


def test_what_a_full_disk_refuses_stays_in_memory(backlog, room):
    backlog.put(deltas(0, 10))
    room.is_full = True
    with pytest.raises(SpoolError):
        backlog.spill()
    assert "full" in backlog.refusal
    assert backlog.waiting_rows == 10
    room.is_full = False
    assert backlog.spill() == 10
    assert backlog.refusal is None
    assert clocks(backlog) == list(range(10))
