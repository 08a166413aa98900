"""What deploy.yml does to gatherers, rehearsed with processes alone: one by one under load, with the playbook's own conditions."""

import contextlib

import pytest

from tests.ansible.places import ANSIBLE
from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import NAMES, Platform
from tests.processes import wait_until

FILES = ANSIBLE / "roles/application/files"
COVERED_SECONDS = 120


@pytest.fixture
def platform(server, templates, tmp_path):
    with exchange(tmp_path) as simulator:
        yield Platform(server, templates, simulator, tmp_path)


def wait_until_its_gap_is_covered(database):
    written = database.value((FILES / "written.sql").read_text())
    covered = (FILES / "covered.sql").read_text().replace(":written", str(written).replace("'", '"'))
    wait_until(lambda: database.value(covered), COVERED_SECONDS, "the merging of what was written before it was ready")


def finish(platform, recorders, deduplicator):
    platform.simulator.stop_the_clock()
    for recorder in recorders.values():
        recorder.stop()
    platform.wait_until_merged()
    deduplicator.stop()


@pytest.mark.long
def test_gatherers_restarted_one_by_one_lose_nothing(platform):
    with (
        contextlib.ExitStack() as restarted,
        platform.gatherers() as recorders,
        platform.deduplicator() as deduplicator,
    ):
        deduplicator.wait_until_ready()
        for name in NAMES:
            let_pass(platform.simulator, 2)
            recorders[name].stop()
            let_pass(platform.simulator, 2)
            recorders[name] = restarted.enter_context(platform.gatherer(name)).wait_until_ready()
            wait_until_its_gap_is_covered(platform.databases[name])
        finish(platform, recorders, deduplicator)
    platform.assert_exact()
