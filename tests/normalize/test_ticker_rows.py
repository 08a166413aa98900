import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.normalize.frames import NOON_MS, RECEIVED_US, SENT_MS, TICKER, contracts, frame, ticker
from tests.normalize.reading import Reader, read, refused

STORED = {
    "price_dollars": "0.4900",
    "yes_bid_dollars": "0.4600",
    "yes_ask_dollars": "0.5400",
    "volume_fp": "33897.00",
    "open_interest_fp": "20423.00",
    "dollar_volume": 16949,
    "dollar_open_interest": 10212,
    "yes_bid_size_fp": "301.00",
    "yes_ask_size_fp": "151.00",
    "last_trade_size_fp": "26.00",
}


def test_a_quote_becomes_a_row():
    row = read(ticker())
    # This very number is in every database: another one would make each stored event a second one.
    assert row.pop("digest") == -4863697709772445221
    assert row == {
        "exchange_ts": NOON_MS * 1_000,
        "received_at": RECEIVED_US,
        "yes_bid_size_e2": 30_000,
        "yes_ask_size_e2": 15_000,
        "last_trade_size_e2": 2_500,
        "volume_e2": 3_389_600,
        "open_interest_e2": 2_042_200,
        "dollar_volume": 16_948,
        "dollar_open_interest": 10_211,
        "price_e6": 480_000,
        "yes_bid_e6": 450_000,
        "yes_ask_e6": 530_000,
        "nth": 0,
        "ts_missing": False,
        "ticker": TICKER,
        "conn": 9,
        "sid": 2,
    }


def test_the_older_wire_leaves_empty_what_it_does_not_say():
    body = {"market_ticker": TICKER, "price": 48, "yes_bid": 45, "yes_ask": 53, "volume": 33896}
    older = {"open_interest": 20422, "dollar_volume": 16948, "dollar_open_interest": 10211, "ts": NOON_MS // 1_000}
    unsaid = {"yes_bid_size_e2": None, "yes_ask_size_e2": None, "last_trade_size_e2": None}
    row = read(frame("ticker", body | older, seq=None))
    new = read(ticker())
    assert row == new | unsaid | {"digest": row["digest"]}
    assert row["digest"] != new["digest"]


@pytest.mark.parametrize("price", ["", "0.0000", None])
def test_a_market_that_never_traded_has_no_price(price):
    assert read(ticker(price_dollars=price))["price_e6"] is None


@pytest.mark.parametrize("field", ["volume_fp", "last_trade_size_fp", "yes_bid_size_fp"])
def test_a_count_that_is_left_empty_is_none_as_an_empty_price_is(field):
    """One loss of all tickers would be declared for each such frame."""
    assert read(ticker(**{field: ""})) == read(ticker(**{field: None}))


@pytest.mark.parametrize("field", STORED)
def test_every_stored_field_makes_another_event(field):
    assert read(ticker(**{field: STORED[field]}))["digest"] != read(ticker())["digest"]


def test_fields_that_are_not_stored_do_not_split_an_event():
    new_field = ticker(market_id="another", brand_new={"a": 1}, time="2026-11-01T12:00:00Z")
    assert read(new_field, received_us=RECEIVED_US + 5) == read(ticker()) | {"received_at": RECEIVED_US + 5}


def test_the_same_value_in_another_field_is_another_event():
    one = ticker(yes_bid_size_fp="7.00", yes_ask_size_fp=None)
    other = ticker(yes_bid_size_fp=None, yes_ask_size_fp="7.00")
    assert read(one)["digest"] != read(other)["digest"]


def test_nothing_said_is_not_zero():
    assert read(ticker(last_trade_size_fp=None))["digest"] != read(ticker(last_trade_size_fp="0.00"))["digest"]


@given(st.integers(0, 10**12))
def test_a_digest_is_a_bigint(volume_e2):
    assert -(2**63) <= read(ticker(volume_fp=contracts(volume_e2)))["digest"] < 2**63


def test_a_quote_that_comes_back_within_a_millisecond_is_another_event():
    through = Reader()
    frames = [ticker(), ticker(volume_fp="33897.00"), ticker(), ticker(ts_ms=NOON_MS + 1)]
    assert [read(each, through=through)["nth"] for each in frames] == [0, 0, 1, 0]


def test_without_a_time_the_sending_time_is_used_and_marked():
    row = read(ticker(ts_ms=None))
    assert (row["exchange_ts"], row["ts_missing"]) == (SENT_MS * 1_000, True)


def test_a_quote_that_does_not_fit_is_refused():
    assert "out of bounds" in refused(ticker(yes_ask_dollars="1.5000"))


def test_a_quote_without_any_field_that_is_known_is_put_aside():
    """As of an exchange that has given them other names."""
    said = {"market_ticker": TICKER, "ts_ms": NOON_MS}
    assert "may have been renamed" in refused(frame("ticker", {**said, "last_dollars": "0.48"}))
    nobody_bids = {"price_dollars": "", "yes_bid_dollars": "", "yes_ask_dollars": ""}
    assert read(frame("ticker", {**said, **nobody_bids}))["price_e6"] is None
