"""A gatherer's database is restored as it was some time ago: what it lost is in production already, or others have it."""

import pytest

from tests.faults.backup import Backup
from tests.faults.gathering import let_pass
from tests.faults.platform import MERGED
from tests.processes import wait_until

LAST = "SELECT max(ingest_id) FROM orderbook_deltas"
RESTARTS = "SELECT sum(restarts) FROM sync_cursors WHERE gatherer = 'one'"


@pytest.fixture
def platform(platform_with, another_server):
    return platform_with(one=another_server)


@pytest.mark.long
def test_what_it_records_under_the_same_ids_is_merged_too(platform, another_server):
    one = platform.databases["one"]
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        let_pass(platform.simulator, 2)
        backup = Backup(another_server)
        at_backup = one.value(LAST)
        wait_until(
            lambda: platform.value(MERGED, "one", "orderbook_deltas") > at_backup,
            what="rows in production that the backup has not",
        )
        recorders["one"].stop()
        backup.restore()
        with platform.gatherer("one") as again:
            recorders["one"] = again.wait_until_ready()
            let_pass(platform.simulator, 4)
            wait_until(lambda: platform.value(RESTARTS) > 0, what="a database that is read anew")
            platform.wait_until_audited()
            platform.finish(recorders, deduplicator)
    platform.assert_exact()
