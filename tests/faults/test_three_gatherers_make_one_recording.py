import pytest

from tests.faults.gathering import let_pass
from tests.faults.platform import NAMES


@pytest.mark.long
def test_three_healthy_ones_are_merged_into_what_happened(platform):
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        let_pass(platform.simulator, 5)
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
    assert platform.value("SELECT count(*) FROM markets") > 200


def test_with_another_fault_at_each_of_them_what_happened_is_still_there(platform):
    one, two, three = map(platform.key_of, NAMES)
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        # What one of them loses without a gap, the others must hear: only then does nothing contradict the record.
        lost = platform.simulator.inflict("lose", keys=[three], channels=["orderbook_delta"], count=5, skip=10)
        let_pass(platform.simulator, 3)
        platform.simulator.lift(lost["fault_id"])
        platform.simulator.inflict("drop", keys=[one], count=20, skip=3)
        platform.simulator.inflict("close", keys=[two])
        platform.simulator.inflict("untimed", keys=[three], count=10)
        let_pass(platform.simulator, 4)
        platform.kill("one", recorders["one"])
        let_pass(platform.simulator, 2)
        with platform.gatherer("one") as again:
            recorders["one"] = again.wait_until_ready()
            let_pass(platform.simulator, 3)
            platform.finish(recorders, deduplicator)
    report = platform.assert_exact()
    assert sum(table.unfillable for table in report.tables) > 0  # what happened before anybody listened
