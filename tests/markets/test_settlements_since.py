import pytest

from app.markets.sync import SettlementsSince
from tests.storage.spool.disk import Disk


@pytest.fixture
def since(tmp_path):
    def make(last_recorded_us, waiting_since_us=None):
        return SettlementsSince(tmp_path / "new" / "since", lambda: last_recorded_us, lambda: waiting_since_us)

    return make


def test_at_first_there_is_nothing_to_ask_for(since):
    assert since(None).read_us() is None
    assert since(7).read_us() == 7


def test_a_run_that_ended_before_it_had_asked_is_not_where_the_next_begins(since):
    assert since(7).read_us() == 7
    assert since(9).read_us() == 7


def test_once_it_is_settled_the_next_run_begins_where_the_last_one_ended(since):
    first = since(7)
    first.read_us()
    first.settle()
    assert since(9).read_us() == 9


def test_nothing_is_settled_while_its_rows_wait(since):
    assert since(None).are_stored(5)
    assert since(None, waiting_since_us=6).are_stored(5)
    assert not since(None, waiting_since_us=5).are_stored(5)


def test_a_time_that_was_read_outlives_a_power_cut(tmp_path):
    """The next run would look back only to the end of this one, which may have recorded for hours by then."""
    disk = Disk(tmp_path / "disk", tmp_path / "shadows", {})
    with disk.watched():
        assert SettlementsSince(disk.folder / "since", lambda: 7, lambda: None).read_us() == 7
    disk.after_the_cut(lambda choices: choices[0], tmp_path / "after")
    assert SettlementsSince(tmp_path / "after" / "since", lambda: 9, lambda: None).read_us() == 7
