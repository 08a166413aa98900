"""Whatever a deduplicator was at, the next one goes on from what is committed."""

import random
import signal

import pytest

from app.merge.rules import RULES
from tests.faults.gathering import let_pass
from tests.processes import wait_until

SHARDS = 2


@pytest.mark.long
def test_killed_at_any_moment_and_started_again_it_makes_the_same_recording(platform):
    chance = random.Random(5)
    with platform.gatherers() as recorders:
        for _ in range(5):
            with platform.deduplicator() as deduplicator:
                deduplicator.process.wait_for('"message": "shard taken over"')
                let_pass(platform.simulator, chance.uniform(0, 1.5))
                deduplicator.kill()
        with platform.deduplicator() as deduplicator:
            let_pass(platform.simulator, 2)
            platform.finish(recorders, deduplicator)
    platform.assert_exact()


@pytest.mark.long
def test_of_two_that_share_the_work_one_is_killed_and_the_other_takes_over_all_of_it(platform):
    def held(deduplicator):
        return deduplicator.metric("kalshi_merge_held_shards")

    with (
        platform.gatherers() as recorders,
        platform.deduplicator(KALSHI_DEDUP_SHARDS=SHARDS) as killed,
        platform.deduplicator(KALSHI_DEDUP_SHARDS=SHARDS) as survivor,
    ):
        wait_until(lambda: held(killed) > 0 and 0 < held(survivor) < SHARDS * len(RULES), what="two that share")
        let_pass(platform.simulator, 3)
        killed.signal(signal.SIGKILL)
        wait_until(lambda: held(survivor) == SHARDS * len(RULES), what="one that does all")
        let_pass(platform.simulator, 2)
        platform.finish(recorders, survivor)
    platform.assert_exact()
