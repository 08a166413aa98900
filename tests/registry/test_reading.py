import pytest

from app.normal.unfit import UnfitMessageError
from app.registry.reading import read_market
from tests.registry.build import NOW_US, market_json


def test_another_quote_or_another_time_of_reading_is_the_same_content():
    first = read_market(market_json(), NOW_US)
    assert read_market(market_json(yes_bid_dollars="0.9900"), NOW_US + 1).digest == first.digest


@pytest.mark.parametrize(
    "change", [{"status": "closed"}, {"result": "yes"}, {"title": "B"}, {"rules_primary": "new"}, {"exchange_index": 2}]
)
def test_whatever_else_is_another_content(change):
    assert read_market(market_json(**change), NOW_US).digest != read_market(market_json(), NOW_US).digest


def test_it_is_read_for_the_registry():
    market = read_market(market_json(latest_expiration_time="2026-12-22T14:00:00Z"), NOW_US).market
    assert market == (
        *("KXA-1-T1", "KXA-1", "active", "binary", "", 0),
        *(1_795_269_600_000_000, 1_797_861_600_000_000, 1_797_948_000_000_000, None),
    )


@pytest.mark.parametrize(
    "change",
    [{"status": "asleep"}, {"ticker": ""}, {"event_ticker": ""}, {"exchange_index": 2**40}, {"open_time": "noon"}],
)
def test_what_no_row_can_hold_is_unfit(change):
    with pytest.raises(UnfitMessageError):
        read_market(market_json(**change), NOW_US)
