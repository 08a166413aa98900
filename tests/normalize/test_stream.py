import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.messages import Ok, Unknown
from app.normalize.events import Repetitions
from app.normalize.stream import SequenceGap
from app.storage.tables import ORDERBOOK_DELTAS
from tests.normalize.frames import RECEIVED_US, delta, lifecycle, snapshot, ticker
from tests.normalize.reading import Reader, read, refused


def after_gap(through, ticker, seq, sid=2):
    return read(delta(ticker=ticker, seq=seq, sid=sid), through=through)["after_gap"]


def test_a_gap_is_told_once_and_before_what_follows_it_is_given_out():
    through = Reader()
    read(delta(seq=1), through=through)
    assert after_gap(through, "A", seq=5)
    assert through.gaps == [SequenceGap(sid=2, expected=2, received=5)]
    assert after_gap(through, "A", seq=6)
    assert len(through.gaps) == 1


def test_after_a_gap_every_market_is_in_doubt_until_its_snapshot():
    through = Reader()
    read(delta(seq=1), through=through)
    read(snapshot(ticker="A", seq=5), through=through)
    assert [after_gap(through, ticker, seq) for seq, ticker in ((6, "A"), (7, "B"))] == [False, True]
    read(snapshot(ticker="B", seq=8), through=through)
    assert not after_gap(through, "B", seq=9)


def test_a_gap_on_one_sid_leaves_the_other_sids_alone():
    through = Reader()
    for sid in (2, 3):
        read(delta(seq=1, sid=sid), through=through)
    assert [after_gap(through, "A", 9, sid=2), after_gap(through, "A", 2, sid=3)] == [True, False]


def test_trust_comes_back_when_all_had_their_snapshots():
    through = Reader()
    read(delta(seq=1), through=through)
    assert after_gap(through, "A", seq=3)
    through.stream.end_gap(2)
    assert not after_gap(through, "A", seq=4)


def test_a_subscription_may_be_distrusted_for_another_reason():
    through = Reader()
    through.stream.begin_gap(2)
    assert after_gap(through, "A", seq=1)
    read(snapshot(ticker="A", seq=2), through=through)
    assert not after_gap(through, "A", seq=3)


def said(sid):
    return [
        delta(sid=sid, seq=1),
        ticker({"sid": sid}),
        lifecycle(envelope={"sid": sid, "seq": 3}, event_type="deactivated"),
    ]


def test_what_two_subscriptions_say_alike_is_one_event_said_twice():
    through = Reader()
    assert [read(each, through=through)["nth"] for sid in (2, 3) for each in said(sid)] == [0] * 6


def test_of_a_subscription_that_was_ended_only_announcements_are_remembered():
    through = Reader()
    numbers = []
    for _ in range(2):
        numbers.append([read(each, through=through)["nth"] for each in said(2)])
        through.stream.forget(2)
    assert numbers == [[0, 0, 0], [0, 0, 1]]


def subscribed(sid, channel="market_lifecycle_v2"):
    return json.dumps({"type": "subscribed", "id": 1, "msg": {"channel": channel, "sid": sid}}).encode()


def test_an_announcement_repeated_on_the_next_socket_of_a_connection_is_another_one():
    repetitions = Repetitions(100)
    numbers = []
    for sid in (2, 5):
        through = Reader(9, repetitions=repetitions)
        through.read(subscribed(sid), RECEIVED_US)
        numbers.append(read(said(sid)[2], through=through)["nth"])
    assert numbers == [0, 1]


def test_the_two_connections_of_a_gatherer_tell_one_announcement_each_in_its_copy():
    repetitions = Repetitions(100)
    assert [read(said(2)[2], through=Reader(conn, repetitions=repetitions))["nth"] for conn in (5, 6)] == [
        0,
        0,
    ]


def test_an_event_announced_on_two_channels_of_a_connection_is_one():
    through = Reader()
    for sid, channel in ((2, "market_lifecycle_v2"), (3, "multivariate_market_lifecycle")):
        through.read(subscribed(sid, channel), RECEIVED_US)
    assert [read(said(sid)[2], through=through)["nth"] for sid in (2, 3)] == [0, 0]


def test_what_two_subscriptions_to_one_channel_tell_at_once_is_one():
    through = Reader()
    for sid in (2, 3):
        through.read(subscribed(sid), RECEIVED_US)
    assert [read(said(sid)[2], through=through)["nth"] for sid in (2, 3, 2)] == [0, 0, 1]


def test_a_market_whose_clock_goes_back_is_told_of_once():
    through = Reader()
    for seq, clock in enumerate((900, 901, 3, 4, 5), start=1):
        read(delta(ticker="A", seq=seq, clock=clock), through=through)
        read(delta(ticker="B", seq=1, sid=3, clock=7), through=through)
    assert through.stream.clocks_gone_back == ["A"]


def test_a_subscription_that_was_ended_may_start_its_numbers_anew():
    through = Reader()
    read(delta(seq=80), through=through)
    through.stream.forget(2)
    assert not after_gap(through, "A", seq=1)
    assert through.gaps == []


def test_everything_that_carries_a_number_counts():
    through = Reader()
    read(delta(seq=1), through=through)
    message, row = through.read(b'{"id":3,"type":"ok","sid":2,"seq":2,"msg":{}}', RECEIVED_US)
    assert (type(message), row) == (Ok, None)
    assert type(through.read(b'{"type":"news","sid":2,"seq":3}', RECEIVED_US)[0]) is Unknown
    assert "more than 2 decimals" in refused(unfit(seq=4), through)
    read(delta(seq=5), through=through)
    assert through.gaps == []


def test_tickers_have_no_numbers_to_miss():
    through = Reader()
    for _ in range(3):
        read(ticker(), through=through)
    assert through.gaps == []


def unfit(seq):
    whole = json.loads(delta(seq=seq))
    whole["msg"]["delta_fp"] = "0.001"
    return json.dumps(whole).encode()


def test_what_does_not_fit_leaves_its_neighbours_alone():
    through = Reader()
    message, row = through.read(unfit(seq=1), RECEIVED_US)
    assert (message.frame, message.type, message.sid, message.seq, row) == (unfit(1), "orderbook_delta", 2, 1, None)
    assert read(delta(seq=2), through=through)["nth"] == 0


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999"])
def test_a_number_beyond_any_decimal_puts_its_frame_aside(number):
    frame = b'{"type":"market_lifecycle_v2","sid":1,"seq":2,"msg":{"event_type":"created","market_ticker":"A","x":%s}}'
    message, row = Reader().read(frame % number.encode(), RECEIVED_US)
    assert (type(message), message.sid, message.seq, row) == (Unknown, 1, 2, None)


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 1), st.sampled_from([100, -100]), st.booleans()), max_size=25
    ),
    st.integers(0, 10**6),
    st.permutations("AB"),
)
def test_two_connections_give_the_same_changes_the_same_keys(changes, first_seq, order):
    """Numbers, times of sending and of receiving, and how markets lie between each other differ; keys do not."""
    clocks = {"A": 1, "B": 1}
    frames = []
    for ticker_name, step, delta_e2, yes_side in changes:
        clocks[ticker_name] += step
        frames.append((ticker_name, delta_e2, yes_side, clocks[ticker_name]))

    def keys(heard, first):
        through = Reader()
        rows = [
            read(delta(500_000, delta_e2, yes, clock, ticker=name, seq=first + at, sending_ts_ms=None), at, through)
            for at, (name, delta_e2, yes, clock) in enumerate(heard)
        ]
        return [tuple(row[column] for column in ORDERBOOK_DELTAS.identity) for row in rows]

    one = keys(frames, 1)
    other = keys(sorted(frames, key=lambda change: order.index(change[0])), first_seq)
    assert sorted(one) == sorted(other)
    assert len(set(one)) == len(frames)
