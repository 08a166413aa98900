"""Commands of a book socket that the exchange refuses: what is asked again, how soon, and what is left alone."""

import json

import pytest

from tests.subscriptions.book_listener import SECOND_US, START_US, Listener, action_of, tickers_of

BATCH = [f"A-{number:03}" for number in range(300)]


@pytest.fixture
def listener():
    return Listener(BATCH)


def want(listener, tickers, seconds=5):
    listener.subscriber.want(list(tickers))
    return listener.run(seconds)


def test_a_socket_that_was_full_takes_markets_again_when_one_has_left():
    listener = want(Listener("ABCDE", limit=3), "ABCD")
    assert len(listener.subscriber.take_turned_away()) == 1
    listener.subscriber.unwant(["A"], listener.now_us)
    listener.run(1)
    want(listener, "E")
    assert listener.subscriber.receives("E")
    assert (listener.subscriber.received, listener.subscriber.take_turned_away()) == (3, [])


@pytest.mark.parametrize("grants_first", [False, True])
def test_a_market_without_room_is_turned_away_at_once(grants_first):
    """Also where the subscription is granted before it is found to be too large."""
    listener = Listener("AB", limit=1, grants_first=grants_first)
    listener.subscriber.want(["A", "B"])
    listener.run(5, until=lambda: listener.subscriber.wanted == 1)
    assert listener.now_us - START_US < 3 * SECOND_US
    assert len(listener.subscriber.take_turned_away()) == 1
    assert listener.run(5).subscriber.received == 1


@pytest.mark.parametrize("code", [1, 5, 11, 18, 27])
def test_an_exchange_that_refuses_everything_for_a_while_leaves_no_market_unheard(listener, code):
    want(listener, BATCH[:10])
    listener.commands.clear()
    listener.refuses = lambda _: code
    want(listener, BATCH, seconds=10)
    assert len(listener.commands) < 20, "each refusal is waited for twice as long"
    listener.refuses = lambda _: None
    listener.run(30, until=lambda: listener.subscriber.received == len(BATCH))
    assert listener.subscriber.received == len(BATCH)


@pytest.mark.parametrize("bad", [BATCH[7], BATCH[-1]])
def test_one_market_that_is_refused_for_its_own_sake_is_left_alone_and_the_others_are_heard(listener, bad):
    listener.refuses = lambda body: 11 if bad in tickers_of(body) else None
    want(listener, BATCH, seconds=20)
    assert listener.subscriber.received == len(BATCH) - 1
    want(listener, [], seconds=60)
    asked = len([body for body in listener.commands if bad in tickers_of(body)])
    want(listener, [], seconds=120)
    assert len([body for body in listener.commands if bad in tickers_of(body)]) == asked, "it is left alone"
    listener.refuses = lambda _: None
    listener.run(300, until=lambda: listener.subscriber.receives(bad))
    assert listener.subscriber.receives(bad), "for a while"


def test_a_market_that_is_refused_while_nothing_else_is_granted_is_asked_for_on(listener):
    listener.refuses = lambda _: 11
    want(listener, BATCH[:1], seconds=100)
    listener.refuses = lambda _: None
    assert listener.run(61, until=lambda: listener.subscriber.received == 1).subscriber.received == 1


def test_one_market_that_cannot_be_deleted_keeps_no_other_subscribed(listener):
    want(listener, BATCH)
    stuck = BATCH[5]
    listener.refuses = lambda body: 11 if action_of(body) == "delete_markets" and stuck in tickers_of(body) else None
    listener.subscriber.unwant(BATCH[:100], listener.now_us)
    listener.run(130)
    assert set(listener.socket.markets) == {stuck, *BATCH[100:]}
    assert len(listener.said("delete_markets")) < 40
    # As the exchange says: it does not have it. Wanted again, it is asked for.
    listener.socket.markets.pop(stuck)
    want(listener, [stuck])
    assert listener.subscriber.receives(stuck)
    want(listener, [BATCH[50]])
    assert listener.subscriber.receives(BATCH[50])


def test_a_market_that_is_not_wanted_any_more_when_its_refusal_comes_stays_unwanted(listener):
    want(listener, BATCH[:2])
    listener.subscriber.want([BATCH[2]])
    for _ in range(3):
        for command in listener.subscriber.commands(listener.now_us):
            listener.socket.refuse(command, 11)
        listener.subscriber.unwant([BATCH[2]], listener.now_us)
        while listener.socket.said:
            listener.stream.read(listener.socket.said.popleft().frame, listener.now_us)
        listener.now_us += SECOND_US
    listener.run(700)
    assert not listener.subscriber.receives(BATCH[2])
    assert sorted(listener.subscriber.tickers()) == BATCH[:2]
    assert listener.subscriber.wanted == 2


@pytest.mark.parametrize("action", ["get_snapshot", "list_subscriptions", "delete_markets", "add_markets"])
def test_every_refusal_is_waited_for_longer_and_longer(listener, action):
    want(listener, BATCH[:50])
    listener.commands.clear()
    listener.refuses = lambda body: 11 if action in (body["cmd"], action_of(body)) else None
    listener.subscriber.unwant(BATCH[:5], listener.now_us)
    listener.subscriber.want(BATCH[50:60])
    listener.run(600)
    assert len(listener.said(action)) < 60


def test_a_market_that_may_have_joined_is_deleted_when_it_is_not_wanted_any_more(listener):
    want(listener, BATCH[:1])
    listener.subscriber.want([BATCH[1]])
    for command in listener.subscriber.commands(listener.now_us):
        listener.socket.hear(command)
    listener.socket.said.clear()  # nobody hears the answer
    listener.now_us += 11 * SECOND_US
    for command in listener.subscriber.commands(listener.now_us):
        listener.socket.refuse(command, 18)
    listener.stream.read(listener.socket.said.popleft().frame, listener.now_us)
    listener.subscriber.unwant([BATCH[1]], listener.now_us)
    listener.run(5)
    assert set(listener.socket.markets) == {BATCH[0]}


def test_a_market_that_is_wanted_again_while_it_leaves_is_asked_for_once_it_has_left(listener):
    want(listener, BATCH[:2])
    listener.subscriber.unwant([BATCH[1]], listener.now_us)
    (delete,) = listener.subscriber.commands(listener.now_us)
    listener.subscriber.want([BATCH[1]])
    assert listener.subscriber.commands(listener.now_us) == []
    listener.socket.hear(delete)
    listener.deliver(listener.socket.said.popleft())
    listener.run(1)
    assert listener.subscriber.receives(BATCH[1])


def adds_of(listener, ticker):
    return [body for body in listener.said("add_markets") if tickers_of(body) == [ticker]]


def test_a_late_refusal_of_a_market_that_is_tried_again_does_not_take_it_back_once_it_is_unwanted():
    silent = BATCH[9]
    listener = want(Listener(BATCH[:3]), BATCH[:2])
    listener.refuses = lambda body: 11 if tickers_of(body) == [silent] and len(adds_of(listener, silent)) == 1 else None
    want(listener, [silent], seconds=2)
    want(listener, [BATCH[2]], seconds=5)
    refused, granted = adds_of(listener, silent)
    # It gives no snapshot: it is deleted, to be added again.
    delete = None
    while delete is None:
        listener.now_us += SECOND_US
        delete = next((each for each in listener.subscriber.commands(listener.now_us) if b"delete" in each), None)
    listener.socket.refuse(json.dumps(granted), 11)
    listener.deliver(listener.socket.said.popleft())
    listener.subscriber.unwant([silent], listener.now_us)
    listener.socket.hear(delete)
    listener.run(700)
    assert sorted(listener.subscriber.tickers()) == BATCH[:3]
    assert listener.subscriber.wanted == 3
    assert adds_of(listener, silent) == [refused, granted]


def test_a_market_that_is_received_stays_received_whatever_is_refused_later():
    listener = want(Listener(BATCH), BATCH[:2])
    joined = BATCH[5]
    want(listener, [joined])
    listener.subscriber.unwant([joined], listener.now_us)
    listener.run(1)
    want(listener, [joined])
    for granted, other in zip(adds_of(listener, joined), BATCH[10:], strict=False):
        listener.socket.refuse(json.dumps(granted), 11)
        listener.deliver(listener.socket.said.popleft())
        want(listener, [other])
    assert listener.subscriber.receives(joined)
    assert listener.subscriber.received == listener.subscriber.wanted
