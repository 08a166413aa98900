import json

import pytest

from app.normalize.events import Repetitions
from tests.normalize.frames import RECEIVED_US, SENT_MS, TICKER, frame, lifecycle
from tests.normalize.reading import Reader, read, refused


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


LINE, OTHER_LINE = (5, "market_lifecycle_v2"), (6, "market_lifecycle_v2")
PAUSE = ("A", "deactivated", 1)
SECOND_US = 1_000_000


def numbers(*told):
    """Of one announcement, as it was told on these lines at these seconds."""
    repetitions = Repetitions(100)
    return [repetitions.nth(PAUSE, line, int(at * SECOND_US)) for line, at in told]


def test_a_repetition_on_one_connection_is_another_event():
    through = Reader()
    heard = (0, 0, 2.5, 40, 101)
    assert [read(paused(at, seq), through=through)["nth"] for seq, at in enumerate(heard)] == [0, 1, 2, 3, 0]


def test_numbers_grow_for_as_long_as_an_announcement_is_repeated_within_a_minute():
    assert numbers(*((LINE, at) for at in (0, 45, 90, 135, 196))) == [0, 1, 2, 3, 0]


def test_copies_on_another_line_have_the_number_of_the_nearest_that_it_has_not_told():
    told = [(LINE, 0), (LINE, 1), (LINE, 30), (OTHER_LINE, 0.7), (OTHER_LINE, 1.1), (OTHER_LINE, 30.2)]
    assert numbers(*told) == [0, 1, 2, 1, 0, 2]


def test_a_line_that_missed_an_announcement_has_the_number_of_the_next_one():
    assert numbers((LINE, 0), (LINE, 20), (OTHER_LINE, 20.4)) == [0, 1, 1]


def test_what_is_more_than_seconds_apart_is_no_copy():
    assert numbers((LINE, 0), (OTHER_LINE, 5)) == [0, 0]
    assert numbers((LINE, 0), (OTHER_LINE, 5.1)) == [0, 1]


@pytest.mark.parametrize(
    "body", [{}, {"event_type": 5}, {"event_type": ""}, {"event_type": "created", "market_ticker": None}]
)
def test_an_announcement_without_subject_or_type_is_refused(body):
    assert "it has no" in refused(lifecycle(**body))


def test_of_what_is_remembered_the_oldest_goes_first():
    repetitions = Repetitions(capacity=2)
    told = [(name, at) for at, name in enumerate("abac")] + [("a", 9), ("b", 9)]
    assert [repetitions.nth((name, "paused", 1), LINE, at) for name, at in told] == [0, 0, 1, 0, 2, 0]
