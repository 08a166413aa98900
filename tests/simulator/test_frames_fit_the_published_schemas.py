"""Every frame of today's wire, judged by the exchange's own schemas; and each says exactly what happened."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.websocket.dollar_frames import DollarFrames
from tests.simulator.changes import NAME, books, deltas, tickers, trades
from tests.simulator.specification import needs_specification, websocket_definitions

pytestmark = needs_specification
WIRE = DollarFrames()


@pytest.fixture(scope="module")
def definitions():
    return websocket_definitions()


def payload_of(message, command_id=0):
    return json.loads(message.payload(7, 41, WIRE.stamp(1_795_246_814_804), command_id))


def e6(text):
    return int(Decimal(text) * 1_000_000)


def e2(text):
    return int(Decimal(text) * 100)


@settings(max_examples=200, deadline=None)
@given(change=deltas(), yes_price=st.booleans(), timed=st.booleans())
def test_deltas(definitions, change, yes_price, timed):
    frame = payload_of(WIRE.delta(NAME, change, yes_price=yes_price, timed=timed))
    definitions.check("orderbookDeltaPayload", frame)
    said = frame["msg"]
    mirrored = yes_price and not change.yes_side
    assert e6(said["price_dollars"]) == (1_000_000 - change.price_e6 if mirrored else change.price_e6)
    assert (e2(said["delta_fp"]), said["side"] == "yes") == (change.delta_e2, change.yes_side)
    assert (said["clock"], frame["seq"], frame["sid"]) == (change.clock, 41, 7)
    assert said.get("ts_ms") == (change.at_us // 1_000 if timed else None)
    assert ("ts" in said) == timed


@settings(max_examples=200, deadline=None)
@given(book=books(), yes_price=st.booleans(), command_id=st.integers(0, 5))
def test_snapshots(definitions, book, yes_price, command_id):
    frame = payload_of(WIRE.snapshot(NAME, book, yes_price=yes_price), command_id)
    definitions.check("orderbookSnapshotPayload", frame)
    said = frame["msg"]
    no = [(1_000_000 - price, size) for price, size in reversed(book.no)] if yes_price else book.no
    for key, levels in (("yes_dollars_fp", book.yes), ("no_dollars_fp", no)):
        assert [(e6(price), e2(size)) for price, size in said.get(key, [])] == levels
        assert (key in said) == bool(levels)
    assert frame.get("id", 0) == command_id


@settings(max_examples=200, deadline=None)
@given(change=trades())
def test_trades(definitions, change):
    frame = payload_of(WIRE.trade(NAME, change))
    definitions.check("tradePayload", frame)
    said = frame["msg"]
    assert e6(said["yes_price_dollars"]) == 1_000_000 - e6(said["no_price_dollars"]) == change.yes_price_e6
    assert (e2(said["count_fp"]), said["ts_ms"]) == (change.size_e2, change.at_us // 1_000)
    assert (said["taker_book_side"] == "bid") == (said["taker_outcome_side"] == "yes") == change.taker_yes


@settings(max_examples=200, deadline=None)
@given(change=tickers())
def test_tickers(definitions, change):
    frame = payload_of(WIRE.ticker(NAME, change))
    definitions.check("tickerPayload", frame)
    said = frame["msg"]
    assert (e6(said["price_dollars"]) or None) == change.price_e6
    assert (e6(said["yes_bid_dollars"]), e2(said["yes_ask_size_fp"])) == (change.yes_bid_e6, change.yes_ask_size_e2)
    assert "seq" not in frame
