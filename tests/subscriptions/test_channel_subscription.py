"""Channels of the whole exchange: what they miss is gone, and said so at once."""

import json
from itertools import count

import msgspec
import pytest

from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.channel_subscription import ChannelSubscription
from app.subscriptions.journal import Journal
from app.subscriptions.roles import LIFECYCLE, TRADE
from tests.subscriptions.exchange import Stream

NOW_US = 1_000_000_000
SECOND_US = 1_000_000


class Listener:
    """A subscriber on its first socket, with what it writes."""

    def __init__(self, role, conn):
        self.journal = Journal(NOW_US, conn, count(1))
        self.subscriber = ChannelSubscription(self.journal, role)
        self.stream = Stream(self.subscriber)
        self.subscriber.opened(self.stream, NOW_US)
        self.rows = {GAPS: [], SUBSCRIPTIONS: []}

    def commands(self, now_us=NOW_US):
        return [json.loads(command) for command in self.subscriber.commands(now_us)]

    def hear(self, now_us, **message):
        self.stream.read(msgspec.json.encode(message), now_us)

    def subscribe(self, now_us=NOW_US, first_sid=1):
        for sid, command in enumerate(self.commands(now_us), start=first_sid):
            (channel,) = command["params"]["channels"]
            self.hear(now_us, id=command["id"], type="subscribed", msg={"channel": channel, "sid": sid})

    def written(self, table):
        for taken, rows in self.journal.take():
            self.rows[taken] += rows
        return self.rows[table]


@pytest.fixture
def trades():
    listener = Listener(TRADE, 3)
    listener.subscribe()
    return listener


def trade(seq):
    return {"type": "trade", "sid": 1, "seq": seq, "msg": {"trade_id": str(seq), "market_ticker": "A"}}


def test_every_trade_is_subscribed_to_once(trades):
    assert trades.commands() == []
    (row,) = trades.written(SUBSCRIPTIONS)
    assert (row.channel, row.ticker, row.started_us, row.ended_us) == ("trade", "", NOW_US, None)


def test_a_gap_ends_with_the_message_that_shows_it(trades):
    trades.hear(NOW_US + 1, **trade(1))
    trades.hear(NOW_US + 5, **trade(4))
    gap = trades.written(GAPS)[-1]
    assert (gap.cause, gap.started_us, gap.ended_us, gap.missing, gap.sid) == ("sequence", NOW_US + 1, NOW_US + 5, 2, 1)
    assert not trades.stream.in_doubt


def test_an_unreadable_trade_is_a_gap(trades):
    trades.hear(NOW_US + 5, type="trade", sid=1, seq=1, msg={"trade_id": 5})
    assert [gap.cause for gap in trades.written(GAPS)] == ["unreadable"] * 2


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\x00",
        b'{"type":"trade","msg":{}}',
        b'{"type":"trade","sid":"one","seq":1,"msg":{}}',
        b'{"type":"trad?","sid":1,"seq":2,"msg":{}}',
    ],
    ids=["no JSON", "no sid", "spoilt sid", "spoilt type"],
)
def test_a_frame_that_may_have_been_a_trade_is_a_gap(trades, frame):
    trades.hear(NOW_US + 1, **trade(1))
    trades.stream.read(frame, NOW_US + 5)
    opened, closed = trades.written(GAPS)[:2]
    assert (opened.cause, opened.started_us, closed.ended_us) == ("unreadable", NOW_US + 1, NOW_US + 5)


def test_a_frame_of_another_kind_is_no_gap(trades):
    trades.stream.read(b'{"type":"news","msg":{}}', NOW_US + 5)
    trades.stream.read(b'{"type":"error","id":"x","msg":{}}', NOW_US + 5)
    assert trades.written(GAPS) == []


@pytest.mark.parametrize(("code", "cause"), [(10, "channel_error"), (25, "overflow")])
def test_a_subscription_that_ends_is_begun_again_on_the_same_socket(trades, code, cause):
    trades.hear(NOW_US + 1, **trade(1))
    trades.hear(NOW_US + 9, type="error", sid=1, msg={"code": code})
    trades.subscribe(NOW_US + SECOND_US, first_sid=2)
    opened, closed = trades.written(GAPS)
    assert (opened.cause, opened.started_us, opened.ended_us) == (cause, NOW_US + 1, None)
    assert closed == opened._replace(ended_us=NOW_US + SECOND_US)
    assert len(trades.written(SUBSCRIPTIONS)) == 1


def test_an_end_that_nobody_heard_of_shows_in_the_list_of_subscriptions(trades):
    (question,) = trades.commands(NOW_US + 61 * SECOND_US)
    trades.hear(NOW_US + 61 * SECOND_US, id=question["id"], type="ok", msg=[])
    assert trades.written(GAPS)[-1].cause == "unsubscribed"
    assert [command["cmd"] for command in trades.commands(NOW_US + 61 * SECOND_US)] == ["subscribe"]


def test_what_is_not_answered_is_asked_again(trades):
    trades.subscriber.closed(NOW_US)
    trades.subscriber.opened(trades.stream, NOW_US)
    assert len(trades.commands(NOW_US)) == 1
    assert trades.commands(NOW_US + 9 * SECOND_US) == []
    assert len(trades.commands(NOW_US + 10 * SECOND_US)) == 1


FIVE_MINUTES_US = 300 * SECOND_US
TODAY = {"sending_ts_ms": 1_795_246_814_804}  # in every message of today's exchange


def refuse(listener, command, code=8, now_us=NOW_US, **envelope):
    listener.hear(now_us, id=command["id"], type="error", msg={"code": code}, **envelope)


def asked(listener, now_us):
    return [channel for command in listener.commands(now_us) for channel in command["params"].get("channels", [])]


def test_a_channel_that_the_exchange_says_it_does_not_have_is_asked_for_again_every_five_minutes(trades):
    trades.subscriber.closed(NOW_US)
    trades.subscriber.opened(trades.stream, NOW_US)
    for round_us in range(NOW_US, NOW_US + 3 * FIVE_MINUTES_US, FIVE_MINUTES_US):
        (command,) = trades.commands(round_us)
        refuse(trades, command, now_us=round_us, **TODAY)
        assert trades.subscriber.channels() == {"trade": False}
        assert asked(trades, round_us + FIVE_MINUTES_US - SECOND_US) == []
    trades.subscribe(NOW_US + 3 * FIVE_MINUTES_US, first_sid=2)
    assert trades.subscriber.channels() == {"trade": True}
    assert trades.written(GAPS)[-1].ended_us == NOW_US + 3 * FIVE_MINUTES_US


def test_any_other_refusal_is_waited_for_longer_and_longer(trades):
    trades.subscriber.closed(NOW_US)
    trades.subscriber.opened(trades.stream, NOW_US)
    refusals = 0
    for now_us in range(NOW_US, NOW_US + 60 * SECOND_US, SECOND_US // 10):
        for command in trades.commands(now_us):
            refuse(trades, command, 1, now_us)
            refusals += 1
    assert 5 < refusals < 12


def test_what_an_exchange_before_combos_had_a_channel_does_not_have_is_not_wanted_of_it():
    listener = Listener(LIFECYCLE, 5)
    market, combo = listener.commands()
    listener.hear(NOW_US, id=market["id"], type="subscribed", msg={"channel": "market_lifecycle_v2", "sid": 1})
    refuse(listener, combo)
    assert listener.subscriber.channels() == {"market_lifecycle_v2": True}
    assert (listener.subscriber.wanted, listener.subscriber.received) == (1, 1)


def test_todays_exchange_is_to_have_the_channel_of_combos():
    listener = Listener(LIFECYCLE, 5)
    market, combo = listener.commands()
    listener.hear(NOW_US, id=market["id"], type="subscribed", msg={"channel": "market_lifecycle_v2", "sid": 1})
    refuse(listener, combo, **TODAY)
    assert listener.subscriber.channels() == {"market_lifecycle_v2": True, "multivariate_market_lifecycle": False}
    assert (listener.subscriber.wanted, listener.subscriber.received) == (2, 1)


def test_an_older_exchange_is_asked_for_the_lifecycle_of_markets_by_its_older_name():
    """What is written keeps today's name: one channel, whatever it is called."""
    listener = Listener(LIFECYCLE, 5)
    for command in listener.commands():
        refuse(listener, command)
    (command,) = listener.commands(NOW_US + SECOND_US)
    assert command["params"]["channels"] == ["market_lifecycle"]
    heard_us = NOW_US + SECOND_US
    listener.hear(heard_us, id=command["id"], type="subscribed", msg={"channel": "market_lifecycle", "sid": 1})
    assert listener.subscriber.channels() == {"market_lifecycle_v2": True}
    (row,) = listener.written(SUBSCRIPTIONS)
    assert (row.channel, row.started_us) == ("market_lifecycle_v2", heard_us)
    listener.hear(heard_us + 5, type="market_lifecycle", sid=1, seq=3, msg={"event_type": "x", "market_ticker": "A"})
    listener.hear(heard_us + 9, type="market_lifecycle", sid=1, seq=5, msg={"event_type": "x", "market_ticker": "A"})
    assert listener.written(GAPS)[-1].channel == "market_lifecycle_v2"
    # On the next socket it is asked for by the name that was known.
    listener.subscriber.closed(heard_us + 10)
    listener.subscriber.opened(listener.stream, heard_us + 10)
    assert "market_lifecycle" in asked(listener, heard_us + 10)


def test_an_exchange_that_knows_neither_name_is_asked_for_both_again():
    listener = Listener(LIFECYCLE, 5)
    now_us, names = NOW_US, []
    for _ in range(400):
        for command in listener.commands(now_us):
            names += [name for name in command["params"]["channels"] if name.startswith("market_")]
            refuse(listener, command, now_us=now_us, **TODAY)
        now_us += SECOND_US
    assert names == ["market_lifecycle_v2", "market_lifecycle"] * 2


def test_a_gap_of_one_lifecycle_channel_begins_where_that_one_was_last_heard():
    listener = Listener(LIFECYCLE, 5)
    listener.subscribe()
    for moment_us, sid, seq in ((1, 1, 1), (2, 2, 1), (8, 2, 2), (9, 1, 3)):
        listener.hear(NOW_US + moment_us, type="event_lifecycle", sid=sid, seq=seq, msg={"event_ticker": "E"})
    gap = listener.written(GAPS)[-1]
    assert (gap.channel, gap.started_us, gap.ended_us) == ("market_lifecycle_v2", NOW_US + 1, NOW_US + 9)


def test_the_end_of_one_lifecycle_channel_leaves_the_other_one_as_it_is():
    listener = Listener(LIFECYCLE, 5)
    listener.subscribe()
    listener.hear(NOW_US + 9, type="error", sid=1, msg={"code": 25})
    assert listener.subscriber.sids == [2]
    assert [gap.channel for gap in listener.written(GAPS)] == ["market_lifecycle_v2"]
