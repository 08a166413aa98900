"""The wire of integer cents, judged by the document that described it; and the channel of the first documents."""

import json

import pytest
from hypothesis import given, settings

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimLifecycle
from app.simulator.market.exchange import Exchange
from app.simulator.websocket.cents_frames import CentsFrames
from tests.simulator.changes import NAME, books, deltas, tickers, trades
from tests.simulator.specification import cents_definitions, needs_specification

START_US = 1_795_000_000_000_000
CATALOG = Catalog(3, 200, START_US, whole_cents=True)
WIRE = CentsFrames(CATALOG)
WHOLE = {"price_step_e6": 10_000, "size_step_e2": 100}


@pytest.fixture(scope="module")
def definitions():
    return cents_definitions()


@pytest.fixture(scope="module")
def lifecycle():
    changes = Exchange(CATALOG, 0).advance(START_US + 120_000_000)
    return [change for change in changes if isinstance(change, SimLifecycle)]


def payload_of(message):
    return json.loads(message.payload(7, 41, WIRE.stamp(1)))


@needs_specification
@settings(max_examples=100, deadline=None)
@given(change=deltas(**WHOLE))
def test_deltas(definitions, change):
    frame = payload_of(WIRE.delta(NAME, change, yes_price=False, timed=True))
    # Seconds, as the first documents had them; the published ones did not know any time.
    assert frame["msg"].pop("ts") == change.at_us // 1_000_000
    definitions.check("orderbookDeltaPayload", frame)
    assert (frame["msg"]["price"] * 10_000, frame["msg"]["delta"] * 100) == (change.price_e6, change.delta_e2)


@needs_specification
@settings(max_examples=100, deadline=None)
@given(book=books(**WHOLE))
def test_snapshots(definitions, book):
    frame = payload_of(WIRE.snapshot(NAME, book, yes_price=False))
    definitions.check("orderbookSnapshotPayload", frame)
    assert [(price * 10_000, size * 100) for price, size in frame["msg"].get("no", [])] == book.no


@needs_specification
@settings(max_examples=100, deadline=None)
@given(change=trades(**WHOLE))
def test_trades(definitions, change):
    frame = payload_of(WIRE.trade(NAME, change))
    # Not in the document, but without it a trade would have no identity.
    assert frame["msg"].pop("trade_id") == change.trade_id
    definitions.check("tradePayload", {key: value for key, value in frame.items() if key != "seq"})
    assert frame["msg"]["yes_price"] + frame["msg"]["no_price"] == 100


@needs_specification
@settings(max_examples=100, deadline=None)
@given(change=tickers(**WHOLE, never_traded=False))
def test_tickers(definitions, change):
    frame = payload_of(WIRE.ticker(NAME, change))
    definitions.check("tickerPayload", frame)
    assert frame["msg"]["yes_bid"] * 10_000 == change.yes_bid_e6


@needs_specification
def test_lifecycle_of_the_published_channel(definitions, lifecycle):
    said = [payload_of(message) for each in lifecycle if (message := WIRE.lifecycle(each, "market_lifecycle_v2"))]
    assert {each["type"] for each in said} == {"market_lifecycle_v2", "event_lifecycle"}
    for frame in said:
        name = "eventLifecyclePayload" if frame["type"] == "event_lifecycle" else "marketLifecycleV2Payload"
        definitions.check(name, {key: value for key, value in frame.items() if key != "seq"})


def test_lifecycle_of_the_first_documents(lifecycle):
    said = [payload_of(message)["msg"] for each in lifecycle if (message := WIRE.lifecycle(each, "market_lifecycle"))]
    assert {each["event_type"] for each in said} == {"created", "status_change", "settled"}
    changes = {(each["old_status"], each["new_status"]) for each in said if each["event_type"] == "status_change"}
    assert changes == {("active", "inactive"), ("inactive", "active"), ("closed", "determined")}


def test_a_catalog_with_parts_of_cents_is_refused():
    with pytest.raises(ValueError, match="parts of cents"):
        CentsFrames(Catalog(3, 200, START_US))
