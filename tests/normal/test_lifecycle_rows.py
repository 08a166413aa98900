import json

import pytest

from app.normal.lifecycle import Repetitions
from tests.normal.frames import RECEIVED_US, SENT_MS, TICKER, frame, lifecycle
from tests.normal.reading import read, refused, stream


def paused(seconds, seq):
    envelope = {"sending_ts_ms": SENT_MS + int(seconds * 1_000), "seq": seq}
    return lifecycle(envelope=envelope, event_type="deactivated", is_deactivated=True)


def test_an_announcement_becomes_a_row():
    row = read(lifecycle(event_type="determined", result="yes", settlement_value="1.0000"))
    assert row.pop("digest") == -923461197753635617
    assert json.loads(row.pop("payload")) == {
        "market_ticker": TICKER,
        "event_type": "determined",
        "result": "yes",
        "settlement_value": "1.0000",
    }
    assert row == {
        "exchange_ts": SENT_MS * 1_000,
        "received_at": RECEIVED_US,
        "nth": 0,
        "ticker": TICKER,
        "event_type": "determined",
        "conn": 9,
        "sid": 2,
        "seq": 1,
    }


@pytest.mark.parametrize(
    ("kind", "body", "ticker", "event_type"),
    [
        ("market_lifecycle_v2", {"market_ticker": "M", "event_type": "created"}, "M", "created"),
        ("multivariate_market_lifecycle", {"market_ticker": "M", "event_type": "settled"}, "M", "settled"),
        ("market_lifecycle", {"market_ticker": "M", "event_type": "status_change"}, "M", "status_change"),
        ("event_lifecycle", {"event_ticker": "E", "title": "Will it?"}, "E", "event_lifecycle"),
        ("event_fee_update", {"event_ticker": "E", "fee_multiplier_override": None}, "E", "event_fee_update"),
    ],
)
def test_every_kind_of_announcement_has_its_subject_and_type(kind, body, ticker, event_type):
    row = read(frame(kind, body))
    assert (row["ticker"], row["event_type"]) == (ticker, event_type)


def test_the_older_wire_has_no_number_and_no_time():
    row = read(lifecycle("market_lifecycle", {"seq": None, "sending_ts_ms": None}, event_type="created"))
    assert (row["exchange_ts"], row["seq"]) == (RECEIVED_US, -1)


def test_the_same_facts_in_another_order_are_the_same_event():
    one, other = (
        lifecycle(event_type="created", open_ts=1, close_ts=2),
        lifecycle(close_ts=2, open_ts=1, event_type="created"),
    )
    assert one != other
    assert read(one) == read(other)


def test_numbers_keep_the_digits_they_came_with():
    written = (
        b'{"type":"market_lifecycle_v2","sid":1,"msg":{"market_ticker":"M","event_type":"e","floor_strike":83950.620}}'
    )
    assert b":83950.620" in read(written)["payload"]


def test_a_repetition_on_one_connection_is_another_event():
    through = stream()
    assert [read(paused(at, seq), through=through)["nth"] for seq, at in enumerate((0, 0, 2.5, 40, 120))] == [
        0,
        1,
        2,
        3,
        0,
    ]


def test_copies_on_two_connections_have_the_same_number_although_their_times_differ():
    heard = [0, 1, 30]
    one, other = stream(), stream()
    numbers = [
        [read(paused(at + delay, seq), through=through)["nth"] for seq, at in enumerate(heard)]
        for through, delay in ((one, 0), (other, 0.7))
    ]
    assert numbers[0] == numbers[1] == [0, 1, 2]


@pytest.mark.parametrize(
    "body", [{}, {"event_type": 5}, {"event_type": ""}, {"event_type": "created", "market_ticker": None}]
)
def test_an_announcement_without_subject_or_type_is_refused(body):
    assert "it says no" in refused(lifecycle(**body))


def test_of_what_is_remembered_the_oldest_goes_first():
    repetitions = Repetitions(capacity=2)
    heard = "abac"
    assert [repetitions.nth((name, "paused", 1), at) for at, name in enumerate(heard)] == [0, 0, 1, 0]
    assert [repetitions.nth((name, "paused", 1), 9) for name in "ab"] == [2, 0]
