import pytest
from prometheus_client import REGISTRY

from app.backlog import Backlog
from app.row_buffer import RowBuffer
from app.spool.spool import Spool
from app.store.tables import ORDERBOOK_DELTAS
from app.store.writer import CopyWriter
from tests.store import rows
from tests.store.reading import rows_of
from workers.table_writer import Pace, TableWriter


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
def backlog(tmp_path):
    spool = Spool(tmp_path, ORDERBOOK_DELTAS, lambda _added_bytes: None)
    yield Backlog(RowBuffer(100), spool)
    spool.close()


@pytest.fixture
def copy_writer(timeseries):
    made = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    yield made
    made.close()


def figure(name):
    return REGISTRY.get_sample_value(name, {"table": ORDERBOOK_DELTAS.name}) or 0


def test_an_absent_database_is_tried_again_ever_more_slowly_and_not_by_all_at_once(backlog, empty_database):
    ended = Ended()
    without_a_table = CopyWriter(ORDERBOOK_DELTAS, empty_database)
    writer = TableWriter(backlog, without_a_table, Pace(10, 0), ended)
    backlog.put([rows.delta()])
    errors = figure("kalshi_write_errors_total")
    for _ in range(30):
        writer.step()
    assert all(0.25 <= seconds <= 30 for seconds in ended.waits)
    assert ended.waits[0] <= 1
    assert max(ended.waits[10:]) > 5
    assert len(set(ended.waits)) == 30
    assert figure("kalshi_write_errors_total") == errors + 30
    assert "orderbook_deltas" in backlog.away
    assert backlog.waiting_rows == 1


def test_rows_are_stored_in_batches_and_counted(backlog, copy_writer, connection):
    names = ("kalshi_rows_stored_total", "kalshi_rows_conflicting_total", "kalshi_rows_quarantined_total")
    names += ("kalshi_rows_replayed_total", "kalshi_batch_rows_count")
    before = [figure(name) for name in names]
    put = [rows.delta(clock=clock) for clock in range(12)]
    backlog.put([*put[:6], rows.delta(price_e6=2_000_000)])
    backlog.spill()
    backlog.put([*put[6:], put[0]])
    writer = TableWriter(backlog, copy_writer, Pace(10, 0), Ended())
    writer.step()
    writer.step()
    assert rows_of(connection, ORDERBOOK_DELTAS) == put
    assert [figure(name) - old for name, old in zip(names, before, strict=True)] == [12, 1, 1, 7, 2]


def test_a_failure_of_another_kind_is_not_swallowed(backlog):
    class Broken:
        def write(self, _rows):
            raise LookupError

    backlog.put([rows.delta()])
    with pytest.raises(LookupError):
        TableWriter(backlog, Broken(), Pace(10, 0), Ended()).step()
