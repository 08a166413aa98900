from hypothesis import given
from hypothesis import strategies as st

from app.markets.market import STATUSES, Market
from app.markets.store import MarketCache

texts = st.text(min_size=1, max_size=12)
times = st.none() | st.integers(-(2**62), 2**62)
markets = st.fixed_dictionaries(
    {
        "ticker": st.sampled_from(["A", "A-1", "A-1-X", "A-2", "B", "B-1"]),
        "event_ticker": st.sampled_from(["A", "A-1", "B", "Z"]),
        "status": st.sampled_from(STATUSES),
        "market_type": texts,
        "result": texts | st.just(""),
        "exchange_index": st.none() | st.integers(0, 2**31 - 1),
        "open_us": times,
        "close_us": times,
        "expiration_us": times,
        "updated_us": times,
    }
).map(lambda facts: Market(**facts))


@given(st.lists(st.tuples(markets, st.booleans())))
def test_a_market_comes_back_as_it_was_stored_last(steps):
    cache, expected = MarketCache(), {}
    for market, is_removed in steps:
        slot = cache.store(market)
        expected[market.ticker] = market
        if is_removed:
            cache.remove(slot)
            del expected[market.ticker]
        assert len(cache) == len(expected)
    for ticker, market in expected.items():
        assert cache.market(cache.slot(ticker)) == market
    assert cache.slots <= 6


def test_a_slot_is_used_again():
    cache = MarketCache()
    first = cache.store(Market("A-1", "other", "active"))
    cache.remove(first)
    assert cache.store(Market("B-1", "B", "closed")) == first
    assert (cache.slots, cache.slot("A-1"), cache.market(first).event_ticker) == (1, None, "B")
