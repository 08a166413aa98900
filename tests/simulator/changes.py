"""Strategies for everything that can happen on the exchange."""

from hypothesis import strategies as st

from app.simulator.market.catalog import MarketName
from app.simulator.market.changes import SimBook, SimDelta, SimTicker, SimTrade

NAME = MarketName("KXTEMPALDPORT-26NOV211F-T3", "9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1")
MOMENTS_US = st.integers(1_700_000_000_000_000, 1_900_000_000_000_000)
SIZES_E2 = st.integers(1, 10**12)


def prices(step_e6):
    return st.integers(1, 1_000_000 // step_e6 - 1).map(lambda ticks: ticks * step_e6)


def sizes(step_e2):
    return st.integers(1, 10**9).map(lambda count: count * step_e2)


def deltas(price_step_e6=100, size_step_e2=1):
    changes = st.tuples(sizes(size_step_e2), st.sampled_from([1, -1])).map(lambda pair: pair[0] * pair[1])
    return st.builds(
        SimDelta, MOMENTS_US, st.just(0), st.integers(1, 2**62), st.booleans(), prices(price_step_e6), changes
    )


def trades(price_step_e6=100, size_step_e2=1):
    ids = st.uuids().map(str)
    return st.builds(
        SimTrade, MOMENTS_US, st.just(0), ids, prices(price_step_e6), sizes(size_step_e2), st.booleans(), st.booleans()
    )


def tickers(price_step_e6=100, size_step_e2=1, never_traded=True):
    price, size = prices(price_step_e6), sizes(size_step_e2)
    last = st.none() | price if never_traded else price
    dollars = st.integers(0, 10**9)
    return st.builds(
        SimTicker, MOMENTS_US, st.just(0), last, price, price, size, size, size, size, size, dollars, dollars
    )


def books(price_step_e6=100, size_step_e2=1):
    side = st.dictionaries(prices(price_step_e6), sizes(size_step_e2), max_size=12).map(
        lambda levels: sorted(levels.items())
    )
    return st.builds(SimBook, st.integers(0, 2**62), side, side)
