"""The exchange's own example frames: what we record becomes rows, the rest is answers or unknown, and nothing fails."""

import json

from app.kalshi.messages import Answer, Unknown, decode
from app.normalize.stream import TABLES
from tests.normalize.frames import RECEIVED_US
from tests.normalize.reading import Reader
from tests.specifications import published

ANSWERS = {"subscribed", "unsubscribed", "ok", "error"}
RECORDS = {
    "orderbook_snapshot",
    "orderbook_delta",
    "ticker",
    "trade",
    "market_lifecycle_v2",
    "multivariate_market_lifecycle",
    "event_lifecycle",
    "event_fee_update",
}


def examples():
    """Those that the server sends."""
    for name, example in published("ws-examples-*.json").items():
        if isinstance(example, dict) and "type" in example:
            yield name, example


def test_there_is_an_example_of_everything_that_is_recorded():
    assert {example["type"] for _, example in examples()} >= RECORDS | ANSWERS


def test_every_example_of_a_record_becomes_a_row():
    for name, example in examples():
        if example["type"] in RECORDS:
            message, row = read(example)
            assert row is not None, (name, message)
            assert len(row) == len(TABLES[type(message)].columns), name


def test_every_answer_is_understood_and_makes_no_row():
    for name, example in examples():
        if example["type"] in ANSWERS:
            message, row = read(example)
            assert row is None, name
            assert isinstance(message, Answer), (name, message)


def test_everything_else_is_unknown_and_its_number_counts():
    for name, example in examples():
        if example["type"] not in ANSWERS | RECORDS:
            message = decode(json.dumps(example).encode())
            assert isinstance(message, Unknown), name
            assert (message.sid, message.seq) == (example.get("sid"), example.get("seq")), name


def read(example):
    return Reader().read(json.dumps(example).encode(), RECEIVED_US)
