import pytest
from prometheus_client import REGISTRY

from app.markets.ingest import read_market
from app.markets.market import Quote
from app.normalize.values import UnfitMessageError
from tests.markets.build import NOW_US, market_json


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
        *(1_795_269_600_000_000, 1_797_861_600_000_000, 1_797_948_000_000_000, None, "Will it rain?"),
        *("unknown", None, None, None, None, None),
    )


TODAYS_QUOTE = {"yes_ask_dollars": "0.4325", "last_price_dollars": "0.4300", "volume_fp": "12.50"}
OLDER_QUOTE = {"yes_bid_dollars": None, "yes_bid": 42, "yes_ask": 44, "last_price": 43, "volume": 12}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (TODAYS_QUOTE, Quote(420_000, 432_500, 430_000, 1_250)),
        (OLDER_QUOTE, Quote(420_000, 440_000, 430_000, 1_200)),
        ({"last_price_dollars": "0.0000", "volume_fp": "0.00"}, Quote(420_000, None, None, 0)),
        ({"yes_bid_dollars": None}, Quote()),
    ],
)
def test_its_quote_is_read_exactly_of_both_wires(said, expected):
    assert read_market(market_json(**said), NOW_US).quote == expected


def unreadable_quotes():
    return REGISTRY.get_sample_value("kalshi_registry_unreadable_quotes_total")


@pytest.mark.parametrize("said", [{"yes_bid_dollars": "a lot"}, {"yes_bid_dollars": 0.42}, {"volume_fp": "0.001"}])
def test_a_market_whose_quote_is_not_understood_is_followed_all_the_same(said):
    before = unreadable_quotes()
    read = read_market(market_json(**said), NOW_US)
    assert (read.quote, read.market.ticker, unreadable_quotes()) == (None, "KXA-1-T1", before + 1)


@pytest.mark.parametrize(
    "change",
    [{"status": "asleep"}, {"ticker": ""}, {"event_ticker": ""}, {"exchange_index": 2**40}, {"open_time": "noon"}],
)
def test_what_no_row_can_hold_is_unfit(change):
    with pytest.raises(UnfitMessageError):
        read_market(market_json(**change), NOW_US)
