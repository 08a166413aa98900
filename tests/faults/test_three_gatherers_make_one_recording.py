import pytest

from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import NAMES, Platform


@pytest.fixture
def platform(server, templates, tmp_path):
    with exchange(tmp_path, "--heartbeat", 2) as simulator:
        yield Platform(server, templates, simulator, tmp_path)


def finish(platform, recorders, deduplicator):
    platform.simulator.stop_the_clock()
    for recorder in recorders.values():
        recorder.stop()
    platform.wait_until_merged()
    deduplicator.stop()


def test_three_healthy_ones_are_merged_into_what_happened(platform):
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        let_pass(platform.simulator, 5)
        finish(platform, recorders, deduplicator)
    platform.assert_exact()
    assert platform.value("SELECT count(*) FROM markets") > 200


def test_with_another_fault_at_each_of_them_what_happened_is_still_there(platform):
    one, two, three = map(platform.key_of, NAMES)
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        platform.simulator.inflict("drop", keys=[one], count=20, skip=3)
        platform.simulator.inflict("close", keys=[two])
        platform.simulator.inflict("untimed", keys=[three], count=10)
        platform.simulator.inflict("lose", keys=[three], channels=["orderbook_delta"], count=5, skip=10)
        let_pass(platform.simulator, 6)
        recorders["one"].kill()
        let_pass(platform.simulator, 2)
        with platform.gatherer("one") as again:
            recorders["one"] = again.wait_until_ready()
            let_pass(platform.simulator, 3)
            finish(platform, recorders, deduplicator)
    report = platform.assert_exact()
    assert sum(table.unfillable for table in report.tables) > 0  # what happened before anybody listened
