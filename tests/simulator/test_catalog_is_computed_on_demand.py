import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.simulator.market.catalog import Catalog
from app.simulator.market.exchange import Exchange
from app.simulator.market.kinds import Phase
from tests.simulator.recording import START_US

CATALOG = Catalog(seed=11, markets=5_000, start_us=START_US)
NUMBERS = st.integers(0, 10**7)
TEXTS = st.one_of(
    st.text(max_size=30), st.from_regex(r"KX[A-Z]{1,8}-26NOV[0-9]{2}[0-9A-Z]{0,12}(-T[0-9]{0,6})?", fullmatch=True)
)


@given(NUMBERS)
def test_a_market_is_found_again_by_its_ticker_and_its_id(index):
    market = CATALOG.market(index)
    assert CATALOG.index_of(market.ticker) == index
    assert CATALOG.index_of_id(market.market_id) == index
    assert CATALOG.index_of_event(market.event_ticker) == market.event
    assert CATALOG.series(CATALOG.index_of_series(market.series_ticker)).ticker == market.series_ticker


@given(TEXTS)
@example("-26NOV210-T0")
@example("KXTEMPALDPORT-26NOV210-T-1")
@example("KXTEMPALDPORT-26NOV210-T\u0661")
@example("KXTEMPALDPORT-26NOV210")
@example("-9999999ZZZZZZ-T1")
def test_any_other_text_names_no_market(text):
    index = CATALOG.index_of(text)
    assert index is None or CATALOG.ticker(index) == text
    assert CATALOG.index_of_id(text) is None
    event = CATALOG.index_of_event(text)
    assert event is None or CATALOG.event_ticker(event) == text


@given(NUMBERS)
def test_later_numbers_are_created_later(index):
    earlier, later = CATALOG.market(index), CATALOG.market(index + 1)
    assert earlier.created_us < later.created_us
    assert earlier.event <= later.event


@pytest.mark.parametrize("markets", [1, 7, 100, 113, 1_000_000])
def test_there_are_as_many_markets_at_the_start_as_asked_for_and_more_later(markets):
    catalog = Catalog(3, markets, START_US)
    assert catalog.count(START_US) == len(catalog) == markets
    assert catalog.count(START_US + 120_000_000) > markets


@given(NUMBERS)
def test_an_event_holds_its_markets_and_a_series_its_events(index):
    market = CATALOG.market(index)
    event = CATALOG.event(market.event)
    assert event.ticker == market.event_ticker
    assert event.first_market + market.position == index
    assert market.position < event.market_count
    assert CATALOG.series(event.series).ticker == event.series_ticker == market.series_ticker


def test_the_events_of_all_series_are_all_events_newest_first():
    count = 1_000
    events = []
    for series in range(CATALOG.series_count):
        of_series = list(CATALOG.events_of_series(series, count))
        assert of_series == sorted(of_series, reverse=True)
        assert {CATALOG.event(event).series for event in of_series} <= {series}
        events += of_series
    assert sorted(events) == list(range(count))


def test_a_quarter_of_the_markets_are_combos_with_legs_on_shard_one():
    markets = [CATALOG.market(index) for index in range(2_000)]
    combos = [market for market in markets if market.is_combo]
    assert len(combos) == len(markets) // 4
    for combo in combos:
        assert combo.ticker.startswith("KXMVE")
        assert combo.exchange_index == 1
        assert combo.price_ranges == ((0, 1_000_000, 100),)
        assert 1 <= len(combo.legs) <= 4
        for leg in combo.legs:
            known = CATALOG.market(CATALOG.index_of(leg.market_ticker))
            assert (known.event_ticker, known.is_combo) == (leg.event_ticker, False)


def test_a_combo_wins_when_all_its_legs_do():
    combos = [market for market in (CATALOG.market(index) for index in range(2_000)) if market.is_combo]
    # Without a moment a result is final, and of an amended leg the opposite of what the combo was determined by.
    for combo in combos:
        results = [CATALOG.market(CATALOG.index_of(leg.market_ticker)) for leg in combo.legs]
        if not any(CATALOG.plan.turn_us(leg.number, phase) for leg in results for phase in (Phase.AMENDED,)):
            expected = all(leg.result == wanted.side for leg, wanted in zip(results, combo.legs, strict=True))
            assert combo.result == ("yes" if expected else "no")
    assert {combo.result for combo in combos} == {"yes", "no"}


def test_exactly_one_market_of_an_exclusive_event_wins():
    for number in range(1_100):
        event = CATALOG.event(number)
        if event.mutually_exclusive:
            markets = range(event.first_market, event.first_market + event.market_count)
            assert [CATALOG.market(market).result for market in markets].count("yes") == 1


def test_a_million_markets_that_nobody_asked_for_take_less_than_200_bytes_each():
    tracemalloc.start()
    try:
        exchange = Exchange(Catalog(3, 1_000_000, START_US), 20_000)
        exchange.advance(START_US + 1_000_000)
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert exchange.market_count >= 1_000_000
    assert used_bytes < 200 * 1_000_000
