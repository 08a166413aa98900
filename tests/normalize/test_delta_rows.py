from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.normalize.frames import NOON_MS, RECEIVED_US, SENT_MS, TICKER, contracts, delta, dollars, frame
from tests.normalize.reading import Reader, read, refused

PRICES_E6 = st.integers(0, 1_000_000)
CHANGES_E2 = st.integers(-(10**12), 10**12)


def older(**changes):
    body = {"market_ticker": TICKER, "price": 56, "delta": -100, "side": "yes", "ts": NOON_MS // 1_000, **changes}
    return frame("orderbook_delta", {k: v for k, v in body.items() if v is not None}, sending_ts_ms=None)


def test_today_s_wire_becomes_a_row():
    assert read(delta(sid=2, seq=3)) == {
        "exchange_ts": NOON_MS * 1_000,
        "received_at": RECEIVED_US,
        "clock": 7,
        "delta_e2": -5_400,
        "price_e6": 960_000,
        "nth": 0,
        "yes_side": True,
        "after_gap": False,
        "ts_missing": False,
        "ticker": TICKER,
        "conn": 9,
        "sid": 2,
        "seq": 3,
    }


def test_the_older_wire_becomes_the_same_but_for_the_clock():
    new = read(delta(price_e6=560_000, delta_e2=-10_000))
    assert read(older()) == new | {"clock": -1}


@given(PRICES_E6, CHANGES_E2, st.booleans(), st.integers(4, 6))
def test_every_price_and_change_is_kept_to_its_last_digit(price_e6, delta_e2, yes_side, decimals):
    text = dollars(price_e6, decimals)
    assert Decimal(text) * 1_000_000 == price_e6
    assert Decimal(contracts(delta_e2)) * 100 == delta_e2
    row = read(delta(price_e6, delta_e2, yes_side))
    assert (row["price_e6"], row["delta_e2"], row["yes_side"]) == (price_e6, delta_e2, yes_side)


@given(st.integers(0, 100), st.integers(-(10**9), 10**9))
def test_every_cent_and_contract_of_the_older_wire_is_kept(cents, count):
    row = read(older(price=cents, delta=count))
    assert (Decimal(row["price_e6"]), Decimal(row["delta_e2"])) == (Decimal(cents) * 10_000, Decimal(count) * 100)


def test_a_time_in_words_stands_in_for_milliseconds():
    body = {"market_ticker": TICKER, "price_dollars": "0.5", "delta_fp": "1", "side": "no", "clock": 1}
    row = read(frame("orderbook_delta", body | {"ts": "2026-11-01T12:00:00.25Z"}))
    assert (row["exchange_ts"], row["ts_missing"]) == (NOON_MS * 1_000 + 250_000, False)


def test_without_a_time_the_sending_time_is_used_and_marked():
    row = read(delta(ts_ms=None))
    assert (row["exchange_ts"], row["ts_missing"]) == (SENT_MS * 1_000, True)


def test_without_any_time_of_the_exchange_ours_is_used_and_marked():
    row = read(older(ts=None))
    assert (row["exchange_ts"], row["ts_missing"]) == (RECEIVED_US, True)


def test_equal_changes_of_one_clock_are_numbered():
    through = Reader()
    changes = [(1, 100), (1, 100), (1, -100), (1, 100), (2, 100)]
    rows = [
        read(delta(clock=clock, delta_e2=delta_e2, seq=seq), through=through)
        for seq, (clock, delta_e2) in enumerate(changes)
    ]
    assert [row["nth"] for row in rows] == [0, 1, 0, 2, 0]


def test_changes_that_differ_in_side_price_or_size_are_not_equal():
    through = Reader()
    different = [{}, {"yes_side": False}, {"price_e6": 950_000}, {"delta_e2": 5_400}]
    assert [read(delta(**each, seq=seq), through=through)["nth"] for seq, each in enumerate(different)] == [0] * 4


def test_a_missing_time_does_not_change_the_number():
    through = Reader()
    rows = [read(delta(ts_ms=None, sending_ts_ms=SENT_MS + seq, seq=seq), through=through) for seq in range(2)]
    assert [row["nth"] for row in rows] == [0, 1]


def test_without_a_clock_equal_changes_of_one_time_are_numbered():
    through = Reader()
    assert read(older(), through=through)["nth"] == 0
    again = [read(frame_with(seq, ts), through=through)["nth"] for seq, ts in ((2, 0), (3, 0), (4, 1))]
    assert again == [1, 2, 0]


def frame_with(seq, later_seconds):
    body = {"market_ticker": TICKER, "price": 56, "delta": -100, "side": "yes", "ts": NOON_MS // 1_000 + later_seconds}
    return frame("orderbook_delta", body, seq=seq)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price_dollars": "0.1234567"}, "more than 6 decimals"),
        ({"price_dollars": "1.01"}, "out of bounds"),
        ({"price_dollars": 0.96}, "Expected `str | null`, got `float`"),
        ({"price_dollars": ""}, "no price"),
        ({"delta_fp": "1.001"}, "more than 2 decimals"),
        ({"delta_fp": None}, "no change"),
        ({"delta_fp": ""}, "no change"),
        ({"side": "maybe"}, "side"),
        ({"clock": 2**63}, "clock"),
        ({"ts_ms": NOON_MS * 1_000}, "ts_ms"),
        ({"market_ticker": None}, "market_ticker"),
    ],
)
def test_what_does_not_fit_is_not_rounded_but_kept_as_it_came(changes, reason):
    body = {"market_ticker": TICKER, "price_dollars": "0.96", "delta_fp": "1.00", "side": "yes", "clock": 1}
    assert reason in refused(frame("orderbook_delta", body | {"ts_ms": NOON_MS} | changes))
