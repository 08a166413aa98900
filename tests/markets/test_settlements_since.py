import pytest

from app.markets.sync import SettlementsSince


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
