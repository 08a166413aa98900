"""Quotes as rows of tickers and REST tell them. A ticker is decoded and made a row as on a connection."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.messages import decode
from app.markets import quotes as module
from app.markets.market import Quote
from app.markets.quotes import Quotes
from app.normalize.events import ticker_row
from app.normalize.occurrences import Occurrences
from tests.markets.build import MINUTE_US, NOW_US, SECOND_US

SLOTS = {"A": 0, "B": 1}


@pytest.fixture(params=[True, False], ids=["packed at once", "kept as rows"])
def quotes(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(module, "MOST_UNPACKED", 0)
    return new_quotes()


def new_quotes():
    made = Quotes(SLOTS.get)
    for slot in SLOTS.values():
        made.clear(slot)
    return made


def heard(ticker="A", at_us=NOW_US, conn=1, bid="0.42", received_us=None, **said):
    body = {"market_ticker": ticker, "ts_ms": at_us // 1_000, "yes_bid_dollars": bid, "yes_ask_dollars": "0.45", **said}
    frame = msgspec.json.encode({"type": "ticker", "sid": 1, "msg": body})
    return ticker_row(decode(frame), received_us or at_us, conn, Occurrences(10))


def test_what_a_ticker_says_is_known_exactly(quotes):
    quotes.apply_tickers([heard(price_dollars="0.4301", volume_fp="999999999999999.99")])
    assert quotes.of("A", 0) == Quote(420_000, 450_000, 430_100, 10**17 - 1, NOW_US)
    assert quotes.of("B", 1) == Quote()


def test_the_latest_of_a_batch_counts(quotes):
    quotes.apply_tickers([heard(bid="0.42"), heard("B", bid="0.10"), heard(at_us=NOW_US + SECOND_US, bid="0.43")])
    assert (quotes.of("A", 0).yes_bid_e6, quotes.of("B", 1).yes_bid_e6) == (430_000, 100_000)


def test_a_connection_that_is_behind_takes_nothing_back(quotes):
    quotes.apply_tickers([heard(at_us=NOW_US + SECOND_US, bid="0.43", conn=1)])
    quotes.apply_tickers([heard(at_us=NOW_US, bid="0.42", conn=2)])
    assert quotes.of("A", 0).yes_bid_e6 == 430_000


def test_a_time_that_is_still_to_come_keeps_no_later_quote_out(quotes):
    quotes.apply_tickers([heard(at_us=NOW_US + 10**15, received_us=NOW_US, bid="0.42")])
    assert quotes.of("A", 0).quoted_us == NOW_US
    quotes.apply_tickers([heard(at_us=NOW_US + SECOND_US, bid="0.43", conn=2)])
    assert quotes.of("A", 0).yes_bid_e6 == 430_000


def test_a_market_that_nobody_knows_is_passed_over(quotes):
    quotes.apply_tickers([heard("UNKNOWN"), heard("B")])
    assert (quotes.of("A", 0), quotes.of("B", 1).yes_bid_e6) == (Quote(), 420_000)


def test_the_next_market_in_a_slot_begins_without_a_quote(quotes):
    quotes.apply_rest("A", 0, Quote(420_000, 450_000, None, 0), NOW_US)
    quotes.clear(0)
    assert quotes.of("C", 0) == Quote()


@pytest.mark.parametrize(("heard_before_us", "expected_e6"), [(2 * MINUTE_US, 500_000), (MINUTE_US // 2, 420_000)])
def test_rest_is_believed_where_nothing_was_heard_of_late(quotes, heard_before_us, expected_e6):
    quotes.apply_tickers([heard(at_us=NOW_US - heard_before_us, bid="0.42")])
    quotes.apply_rest("A", 0, Quote(500_000, 510_000, None, 700), NOW_US)
    assert quotes.of("A", 0).yes_bid_e6 == expected_e6


def test_what_is_heard_after_rest_showed_it_is_newer(quotes):
    quotes.apply_rest("A", 0, Quote(500_000, 510_000, 505_000, 700), NOW_US)
    assert quotes.of("A", 0) == Quote(500_000, 510_000, 505_000, 700, NOW_US - MINUTE_US)
    quotes.apply_tickers([heard(at_us=NOW_US, bid="0.42")])
    assert quotes.of("A", 0).yes_bid_e6 == 420_000


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from([1, 2]), st.integers(0, 99)), min_size=1))
def test_packing_changes_nothing_of_what_is_known(events):
    """Each connection brings its events in the order of their times."""
    events = sorted(enumerate(events), key=lambda event: (event[1][1], event[0]))
    kept, packed = new_quotes(), new_quotes()
    for second, (ticker, conn, cents) in events:
        row = heard(ticker, NOW_US + second * SECOND_US, conn, f"0.{cents:02}")
        kept.apply_tickers([row])
        packed.apply_tickers([row])
        packed._pack(packed._heard[conn])
    for ticker, slot in SLOTS.items():
        assert packed.of(ticker, slot) == kept.of(ticker, slot)


def test_rows_of_a_million_markets_are_not_all_kept():
    most = module.MOST_UNPACKED
    quotes = Quotes({f"A-{number}": 0 for number in range(3 * most)}.get)
    quotes.clear(0)
    quotes.apply_tickers([heard(f"A-{number}") for number in range(3 * most)])
    assert sum(map(len, quotes._heard.values())) <= most
