from hypothesis import given
from hypothesis import strategies as st

from app.simulator.market.changes import SimTrade
from app.simulator.market.history import RecentTrades, candles

MINUTE_US = 60_000_000


@st.composite
def trades(draw):
    times = sorted(draw(st.lists(st.integers(0, 10 * MINUTE_US), max_size=60)))
    return [
        SimTrade(
            at_us, draw(st.integers(0, 3)), str(number), draw(st.integers(1, 999)) * 1_000, draw(st.integers(1, 10**6)),
            draw(st.booleans()), False,
        )
        for number, at_us in enumerate(times)
    ]  # fmt: skip


@given(trades(), st.integers(1, 20), st.integers(0, 10 * MINUTE_US), st.integers(0, 10 * MINUTE_US), st.integers(0, 3))
def test_the_latest_trades_are_kept_and_found_newest_first(made, kept, min_us, max_us, market):
    recent = RecentTrades(kept)
    for trade in made:
        recent.add(trade)
    latest = made[-kept:]
    assert [trade for _, trade in recent.newest_first()] == latest[::-1]
    wanted = [trade for trade in latest if trade.market == market and min_us <= trade.at_us < max_us]
    assert [trade for _, trade in recent.newest_first(market, min_us, max_us)] == wanted[::-1]


@given(trades(), st.integers(0, 60))
def test_paging_continues_where_it_left_off(made, before):
    recent = RecentTrades()
    for trade in made:
        recent.add(trade)
    assert [trade for _, trade in recent.newest_first(before=before)] == made[:before][::-1]
    assert all(recent[number] is trade for number, trade in recent.newest_first())


@given(trades(), st.sampled_from([1, 60]))
def test_candles_hold_every_trade_once(made, period_minutes):
    drawn = candles(made, period_minutes)
    assert sum(candle.volume_e2 for candle in drawn) == sum(trade.size_e2 for trade in made)
    assert sum(candle.trades for candle in drawn) == len(made)
    ends = [candle.end_period_ts for candle in drawn]
    assert ends == sorted(set(ends))
    for candle in drawn:
        inside = [
            trade.yes_price_e6
            for trade in made
            if candle.end_period_ts - period_minutes * 60 <= trade.at_us / 1_000_000 < candle.end_period_ts
        ]
        assert candle.price == (inside[0], min(inside), max(inside), inside[-1])
        assert min(inside) <= candle.mean_e6 <= max(inside)


@given(trades())
def test_the_quotes_of_candles_never_cross(made):
    for candle in candles(made, 1):
        assert candle.yes_bid.close_e6 <= candle.yes_ask.close_e6
        for quote in (candle.yes_bid, candle.yes_ask, candle.price):
            assert (
                quote.low_e6
                <= min(quote.open_e6, quote.close_e6)
                <= max(quote.open_e6, quote.close_e6)
                <= quote.high_e6
            )


@given(trades())
def test_each_candle_knows_the_close_before_it(made):
    drawn = candles(made, 1)
    assert [candle.previous_e6 for candle in drawn[1:]] == [candle.price.close_e6 for candle in drawn[:-1]]
