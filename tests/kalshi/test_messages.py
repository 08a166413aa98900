import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.messages import (
    Error,
    MarketList,
    Ok,
    OrderbookDelta,
    Subscribed,
    SubscriptionEntry,
    SubscriptionList,
    Unknown,
    Unsubscribed,
    decode,
)
from tests.normalize.frames import delta, trade

DEEP = b"[" * 100_000


def test_a_subscription_is_acknowledged_with_its_number():
    answer = decode(b'{"id":1,"type":"subscribed","msg":{"channel":"trade","sid":4}}')
    assert isinstance(answer, Subscribed)
    assert (answer.id, answer.msg) == (1, SubscriptionEntry("trade", 4))


@pytest.mark.parametrize(
    ("written", "tickers"),
    [
        (b'{"id":3,"type":"ok","sid":1,"seq":2,"msg":{"market_tickers":["A","B"]}}', ["A", "B"]),
        (b'{"id":3,"type":"ok","sid":1,"seq":2,"msg":{}}', None),
        (b'{"id":3,"type":"ok","sid":1,"seq":2}', None),
    ],
)
def test_an_update_is_acknowledged_with_or_without_its_markets(written, tickers):
    answer = decode(written)
    assert isinstance(answer, Ok)
    assert (answer.msg or MarketList()).market_tickers == tickers
    assert (answer.id, answer.sid, answer.seq) == (3, 1, 2)


def test_the_older_wire_lists_the_markets_beside_the_number():
    assert decode(b'{"id":3,"type":"ok","sid":1,"seq":2,"market_tickers":["A"]}').market_tickers == ["A"]


def test_subscriptions_are_listed_in_either_way():
    now = decode(b'{"id":4,"type":"ok","msg":[{"channel":"trade","sid":2}]}')
    then = decode(b'{"id":4,"type":"list_subscriptions","subscriptions":[{"channel":"trade","sid":2}]}')
    assert isinstance(then, SubscriptionList)
    assert now.msg == then.subscriptions == [SubscriptionEntry("trade", 2)]


def test_an_end_is_told_with_its_number():
    answer = decode(b'{"id":2,"type":"unsubscribed","sid":2,"seq":7}')
    assert isinstance(answer, Unsubscribed)
    assert (answer.sid, answer.seq) == (2, 7)


def test_an_error_has_its_code_and_perhaps_its_subscription():
    answer = decode(b'{"type":"error","sid":2,"seq":9,"msg":{"code":25,"msg":"Subscription buffer overflow"}}')
    assert isinstance(answer, Error)
    assert (answer.msg.code, answer.sid, answer.seq) == (25, 2, 9)


@pytest.mark.parametrize(
    ("written", "kind", "sid", "seq"),
    [
        (b'{"type":"news","sid":3,"seq":8,"msg":{}}', "news", 3, 8),
        (b'{"type":"orderbook_delta","sid":3,"seq":8,"msg":{"price":0.5}}', "orderbook_delta", 3, 8),
        (b'{"sid":3,"seq":8}', None, 3, 8),
        (b'{"type":"trade","sid":"three"}', None, None, None),
        (b"[]", None, None, None),
        (b"", None, None, None),
        (b"heartbeat", None, None, None),
        (b'{"type":"trade"', None, None, None),
        (b"\xff\xfe", None, None, None),
        (b'{"type":"\xff"}', None, None, None),
        (DEEP, None, None, None),
        (b'{"type":"market_lifecycle_v2","sid":3,"msg":{"deep":' + DEEP, None, None, None),
        (b'{"type":"trade","unheard of":' + DEEP, None, None, None),
    ],
)
def test_what_is_not_understood_is_kept_as_it_came(written, kind, sid, seq):
    message = decode(written)
    assert isinstance(message, Unknown)
    assert message.frame == written
    assert message.reason
    assert (message.type, message.sid, message.seq) == (kind, sid, seq)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_it_fail(written):
    assert isinstance(decode(written), Unknown)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([delta(), trade()]), st.data())
def test_no_value_in_any_field_makes_it_fail(written, data):
    whole = json.loads(written)
    inside = data.draw(st.booleans())
    place = whole["msg"] if inside else whole
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    decode(json.dumps(whole).encode())


def test_fields_that_nobody_knew_are_ignored():
    whole = json.loads(delta()) | {"brand_new": [1, {"a": None}]}
    whole["msg"]["client_order_id"] = "mine"
    assert isinstance(decode(json.dumps(whole).encode()), OrderbookDelta)
