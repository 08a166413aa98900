import pytest
from prometheus_client import REGISTRY

from app.storage.spool.spool import Spool
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.write_queue import RowBuffer, WriteQueue
from app.storage.writer import CopyWriter
from tests.storage import rows
from tests.storage.reading import rows_of
from workers.gatherer.writers import TableWriter, WritePace


class Ended:
    """Never; and how long was waited for it."""

    def __init__(self):
        self.waits = []

    def is_set(self):
        return False

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return False


@pytest.fixture
def queue(tmp_path):
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, lambda _added_bytes: None)
    yield WriteQueue(RowBuffer(100), spool)
    spool.close()


@pytest.fixture
def copy_writer(timeseries):
    made = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    yield made
    made.close()


def figure(name):
    return REGISTRY.get_sample_value(name, {"table": ORDERBOOK_DELTAS.name}) or 0


def test_an_absent_database_is_tried_again_ever_more_slowly_and_not_by_all_at_once(queue, empty_database):
    ended = Ended()
    without_a_table = CopyWriter(ORDERBOOK_DELTAS, empty_database)
    writer = TableWriter(queue, without_a_table, WritePace(10, 0), ended)
    queue.put([rows.delta()])
    errors = figure("kalshi_write_errors_total")
    for _ in range(30):
        writer.step()
    assert all(0.25 <= seconds <= 30 for seconds in ended.waits)
    assert ended.waits[0] <= 1
    assert max(ended.waits[10:]) > 5
    assert len(set(ended.waits)) == 30
    assert figure("kalshi_write_errors_total") == errors + 30
    assert "orderbook_deltas" in queue.away
    assert queue.waiting_rows == 1


def test_rows_are_stored_in_batches_and_counted(queue, copy_writer, connection):
    names = ("kalshi_rows_stored_total", "kalshi_rows_conflicting_total", "kalshi_rows_quarantined_total")
    names += ("kalshi_rows_replayed_total", "kalshi_batch_rows_count")
    before = [figure(name) for name in names]
    put = [rows.delta(clock=clock) for clock in range(12)]
    queue.put([*put[:6], rows.delta(price_e6=2_000_000)])
    queue.spill()
    queue.put([*put[6:], put[0]])
    writer = TableWriter(queue, copy_writer, WritePace(10, 0), Ended())
    writer.step()
    writer.step()
    assert rows_of(connection, ORDERBOOK_DELTAS) == put
    assert [figure(name) - old for name, old in zip(names, before, strict=True)] == [12, 1, 1, 7, 2]


def test_a_failure_of_another_kind_is_not_swallowed(queue):
    class Broken:
        def write(self, _rows):
            raise LookupError

    queue.put([rows.delta()])
    with pytest.raises(LookupError):
        TableWriter(queue, Broken(), WritePace(10, 0), Ended()).step()


def test_who_has_to_wait_for_others_writes_nothing_and_goes_to_disk(queue, copy_writer, connection):
    others = ["rows of trades must be written first"]
    writer = TableWriter(queue, copy_writer, WritePace(10, 0), Ended(), lambda: others[0] if others else None)
    queue.put([rows.delta()])
    writer.step()
    assert rows_of(connection, ORDERBOOK_DELTAS) == []
    assert queue.away == "rows of trades must be written first"
    others.clear()
    writer.step()
    assert rows_of(connection, ORDERBOOK_DELTAS) == [rows.delta()]
    assert queue.away is None
