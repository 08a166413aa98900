import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.normalize.events import rest_trade_row
from app.normalize.values import UnfitMessageError
from app.storage.tables import TRADES
from tests.normalize.frames import NOON_MS, RECEIVED_US, SENT_MS, TICKER, TRADE, contracts, dollars, frame, trade
from tests.normalize.reading import read, refused

OLDER = {
    "market_ticker": TICKER,
    "trade_id": "d91bc706",
    "count": 136,
    "yes_price": 36,
    "no_price": 64,
    "taker_side": "no",
    "ts": NOON_MS // 1_000,
}


def rest(created_time="2026-11-01T12:00:00.000999Z", **changes):
    told = {key: value for key, value in (TRADE | changes).items() if key not in ("market_ticker", "ts_ms")}
    content = json.dumps(told | {"ticker": TICKER, "created_time": created_time}).encode()
    return dict(zip(TRADES.column_names, rest_trade_row(content, RECEIVED_US), strict=True))


def test_a_trade_becomes_a_row():
    assert read(trade()) == {
        "exchange_ts": NOON_MS * 1_000,
        "received_at": RECEIVED_US,
        "size_e2": 13_600,
        "yes_price_e6": 360_000,
        "taker_yes": False,
        "is_block_trade": False,
        "from_rest": False,
        "ticker": TICKER,
        "trade_id": "d91bc706",
        "conn": 9,
        "sid": 2,
        "seq": 1,
    }


def test_the_older_wire_does_not_say_whether_it_is_a_block_trade():
    older = read(frame("trade", OLDER, seq=None, sending_ts_ms=None))
    assert older == read(trade()) | {"is_block_trade": None, "seq": -1}


@given(st.integers(0, 1_000_000), st.integers(1, 10**12), st.integers(0, 999), st.booleans())
def test_rest_tells_the_same_trade_finer_and_its_row_meets_the_stream_s(price_e6, size_e2, microsecond, taker_yes):
    facts = {
        "yes_price_dollars": dollars(price_e6),
        "no_price_dollars": dollars(1_000_000 - price_e6),
        "count_fp": contracts(size_e2),
        "taker_outcome_side": "yes" if taker_yes else "no",
    }
    streamed = read(trade(**facts))
    polled = rest(f"2026-11-01T12:00:00.000{microsecond:03}Z", **facts)
    assert polled == streamed | {"from_rest": True, "conn": -1, "sid": -1, "seq": -1}


def test_the_outcome_side_goes_before_the_older_field():
    assert read(trade(taker_outcome_side="yes", taker_side="no"))["taker_yes"] is True
    assert read(trade(taker_outcome_side=None, taker_side="yes"))["taker_yes"] is True


def test_a_trade_without_a_time_has_the_sending_time():
    assert read(trade(ts_ms=None))["exchange_ts"] == SENT_MS * 1_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"no_price_dollars": "0.6300"}, "do not add up to one dollar"),
        ({"yes_price_dollars": None}, "no price"),
        ({"count_fp": "1.005"}, "more than 2 decimals"),
        ({"count_fp": ""}, "no count"),
        ({"taker_outcome_side": None, "taker_side": None}, "no taker side"),
        ({"trade_id": None}, "trade_id"),
    ],
)
def test_a_trade_that_contradicts_itself_or_lacks_a_fact_is_refused(changes, reason):
    assert reason in refused(trade(**changes))


@pytest.mark.parametrize("changes", [{"created_time": "soon"}, {"count_fp": 5}, {"trade_id": None}])
def test_a_trade_of_rest_that_does_not_fit_is_refused_too(changes):
    with pytest.raises(UnfitMessageError):
        rest(**changes)
