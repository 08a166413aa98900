"""What the exchange never says to one gatherer, and nothing tells that it is missing, another one has."""

import pytest

from tests.faults.gathering import let_pass


@pytest.mark.long
def test_one_of_three_misses_five_in_a_hundred(platform):
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        platform.simulator.inflict("lose", keys=[platform.key_of("one")], count=0, every=20)
        let_pass(platform.simulator, 8)
        platform.wait_until_audited()
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
    all_of_it = platform.value("SELECT count(*) FROM orderbook_deltas")
    own = platform.databases["one"].value("SELECT count(*) FROM orderbook_deltas")
    assert own < 0.99 * all_of_it


@pytest.mark.long
def test_two_miss_different_halves_and_the_third_is_not_there(platform):
    halves = {"one": ["orderbook_delta"], "two": ["trade", "ticker", "market_lifecycle_v2"]}
    with platform.gatherers(*halves) as recorders, platform.deduplicator() as deduplicator:
        for name, types in halves.items():
            platform.simulator.inflict("lose", keys=[platform.key_of(name)], types=types, count=0)
        let_pass(platform.simulator, 8)
        platform.finish(recorders, deduplicator)
    # Only the first learns of a market that opens meanwhile, and loses its changes: quotes show that, rightly.
    platform.assert_exact(are_all_books_heard=False)
