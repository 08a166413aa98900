"""What an earlier run knew is recorded again before the exchange's lists are read."""

import pytest

from tests.faults.gathering import assert_exact, gatherer, let_pass, settings_of, stop_in_order, wait_for_rows

CHANGES_OF_THIS_RUN = "exchange_ts > to_timestamp({} / 1e6)"


@pytest.mark.long
def test_changes_are_recorded_while_the_lists_cannot_be_read(simulator, databases, tmp_path):
    settings = settings_of(simulator, databases, tmp_path / "data")
    with gatherer(settings) as recorder:
        recorder.wait_until_ready()
        recorder.stop()
    started_us = simulator.state()["now_us"]
    lists = simulator.inflict("rest_error", path="/trade-api/v2/markets", status=503, count=0)
    with gatherer(settings) as recorder:
        wait_for_rows(databases, 500, where=CHANGES_OF_THIS_RUN.format(started_us))
        assert "reading markets: 0 so far" in str(recorder.why_not_ready())
        simulator.lift(lists["fault_id"])
        recorder.wait_until_ready()
        let_pass(simulator, 2)
        stop_in_order(simulator, recorder)
    assert_exact(simulator, databases)
