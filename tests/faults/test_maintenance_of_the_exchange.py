"""Nobody hears anything for a while, and then every market's clock starts anew."""

import json

import pytest

from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import Platform
from tests.processes import wait_until

QUIET_SECONDS = 10


@pytest.fixture
def platform(server, templates, tmp_path):
    """Before anybody listens nobody trades: the check takes books of before for those of after, by their clocks."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"at_seconds": 0, "fault": {"fault": "halt", "seconds": QUIET_SECONDS}}]))
    with exchange(tmp_path, "--rate", 200, "--heartbeat", 2, "--plan", plan) as simulator:
        simulator.stop_the_clock()
        yield Platform(server, templates, simulator, tmp_path)


@pytest.mark.long
def test_what_happens_under_the_same_clocks_twice_is_kept_apart(platform):
    simulator = platform.simulator
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        simulator.go_on()
        let_pass(simulator, QUIET_SECONDS + 3)
        # A simulator that is behind its clock would date the new clocks before books that it had sent already.
        simulator.stop_the_clock()
        simulator.inflict("maintenance", seconds=3)
        simulator.go_on()
        let_pass(simulator, 3)
        wait_until(lambda: not simulator.state()["is_in_maintenance"], what="the end of maintenance")
        for recorder in recorders.values():
            recorder.wait_until_ready()
        let_pass(simulator, 5)
        platform.wait_until_audited()
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
