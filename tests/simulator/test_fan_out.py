"""Who listens to what: compact, and the same as sets of numbers."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from app.simulator.websocket.hub import FanOut
from app.simulator.websocket.subscription import MarketSet

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.sampled_from("abcd")), max_size=200)


@given(STEPS)
def test_fan_out_is_a_relation(steps):
    fan_out, expected = FanOut(), defaultdict(set)
    for is_added, market, who in steps:
        if is_added:
            fan_out.add(market, who)
            expected[market].add(who)
        else:
            fan_out.remove(market, who)
            expected[market].discard(who)
        assert set(fan_out.listeners(market)) == expected[market]
        assert len(fan_out.listeners(market)) == len(expected[market])
    assert {market: set(fan_out.listeners(market)) for market in range(50)} == {
        market: expected[market] for market in range(50)
    }
    # Nothing is kept of groups that no market has any more; only that of nobody stays.
    assert fan_out.group_count == len({(), *map(fan_out.listeners, range(50))})


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=300))
def test_a_market_set_is_a_set(steps):
    markets, expected = MarketSet(), set()
    for is_added, market in steps:
        if is_added:
            assert markets.add(market) == (market not in expected)
            expected.add(market)
        else:
            assert markets.discard(market) == (market in expected)
            expected.discard(market)
    assert list(markets) == sorted(expected)
    assert len(markets) == len(expected)
    assert all((market in markets) == (market in expected) for market in range(320))


def test_a_hundred_clients_that_share_a_million_markets_make_few_groups():
    fan_out = FanOut()
    for client in range(100):
        for market in range(client * 1_000, (client + 1) * 1_000):
            fan_out.add(market, client)
            fan_out.add(market, "everybody")
    assert fan_out.group_count <= 201
    for market in range(100_000):
        fan_out.remove(market, "everybody")
    assert fan_out.group_count == 101
