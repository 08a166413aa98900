"""Exchanges that answer late, twice or otherwise than they are documented to: what is heard counts, and goes on."""

import msgspec
import pytest

from app.subscriptions.roles import TRADE
from tests.subscriptions.book_listener import Listener as BookListener
from tests.subscriptions.book_listener import action_of, tickers_of
from tests.subscriptions.test_channel_subscription import NOW_US, SECOND_US, Listener, trade

TICKERS = [f"KX-{number}" for number in range(30)]
LATE_US = 11 * SECOND_US


def subscribed(channel, number, sid):
    return {"id": number, "type": "subscribed", "msg": {"channel": channel, "sid": sid}}


def asked_twice(role, channel):
    """Who was not answered in time, and asked again."""
    listener = Listener(role, 3)
    (first,) = listener.commands()
    (second,) = [each for each in listener.commands(NOW_US + LATE_US) if each["cmd"] == "subscribe"]
    listener.hear(NOW_US + LATE_US, **subscribed(channel, first["id"], 1))
    return listener, second["id"]


def test_a_grant_that_comes_late_counts_though_the_next_question_is_refused():
    """An exchange that is slower than our patience would be dialled again and again for ever."""
    listener, second = asked_twice(TRADE, "trade")
    listener.hear(NOW_US + LATE_US + 1, id=second, type="error", msg={"code": 6, "msg": "already subscribed"})
    assert listener.subscriber.must_reconnect is None
    listener.hear(NOW_US + LATE_US + 2, **trade(1))
    assert (listener.subscriber.sids, listener.subscriber.in_doubt) == ([1], 0)


def test_who_is_said_to_be_subscribed_and_knows_no_subscription_begins_on_another_socket():
    listener = Listener(TRADE, 3)
    (first,) = listener.commands()
    listener.hear(NOW_US + 1, id=first["id"], type="error", msg={"code": 6, "msg": "already subscribed"})
    assert listener.subscriber.must_reconnect == "already subscribed"


def test_of_two_subscriptions_to_one_channel_the_second_is_given_up():
    listener, second = asked_twice(TRADE, "trade")
    listener.hear(NOW_US + LATE_US + 1, **subscribed("trade", second, 2))
    (given_up,) = listener.commands(NOW_US + LATE_US + 2)
    assert (given_up["cmd"], given_up["params"]["sids"]) == ("unsubscribe", [2])
    listener.hear(NOW_US + LATE_US + 3, id=given_up["id"], type="unsubscribed", sid=2)
    assert (listener.subscriber.sids, listener.subscriber.in_doubt) == ([1], 0)
    assert listener.commands(NOW_US + LATE_US + SECOND_US) == []


def books(alter=lambda body: [body], seconds=40):
    """Who wants all books of an exchange whose messages are altered on their way."""
    listener = BookListener(TICKERS)
    say = listener.socket._say

    def say_altered(message, change=None):
        for each in alter(message):
            say(each, change)

    listener.socket._say = say_altered
    return listener.want(TICKERS, seconds)


def is_steady(listener):
    """All books are heard, and nothing is asked for again."""
    asked = len([body for body in listener.commands if body["cmd"] != "list_subscriptions"])
    listener.run(30)
    assert listener.subscriber.received == len(TICKERS)
    assert len([body for body in listener.commands if body["cmd"] != "list_subscriptions"]) == asked
    return True


def test_answers_that_do_not_say_to_what_are_answers():
    listener = books(lambda body: [{key: value for key, value in body.items() if key != "id"}])
    assert is_steady(listener)


def test_everything_that_comes_twice_is_one():
    listener = books(lambda body: [body, body] if body["type"] != "orderbook_snapshot" else [body])
    assert is_steady(listener)


def tell(listener, **body):
    listener.stream.read(msgspec.json.encode(body), listener.now_us)


@pytest.mark.parametrize("code", [6, 99])
def test_an_error_that_concerns_nothing_ends_nothing(code):
    listener = books()
    tell(listener, type="error", msg={"code": code, "msg": "a new rule"})
    assert is_steady(listener)
    assert listener.gaps() == []


@pytest.mark.parametrize("kind", ["orderbook_notice", "orderbook_delta"])
def test_while_messages_cannot_be_read_all_books_are_asked_for_once_a_minute_and_then_heard_again(kind):
    """What is rolled out on a subscription may come every second, and so would all of its books."""
    listener = books()
    asked = len(listener.commands)
    for _ in range(50):
        listener.socket._say_in_sequence({"type": kind, "msg": {"novelty": 1}})
        listener.deliver(listener.socket.said.popleft())
        listener.run(1)
    listener.run(70)
    again = [
        ticker for body in listener.commands[asked:] if action_of(body) == "get_snapshot" for ticker in tickers_of(body)
    ]
    assert len(again) == 2 * len(TICKERS)
    assert is_steady(listener)
    assert all(gap.ended_us for gap in listener.gaps())


def unacknowledged():
    """A listener that has its books, and the acknowledgement that was withheld from it."""
    kept = []

    def alter(body):
        if body["type"] == "subscribed":
            kept.append(body)
        return [] if body["type"] == "subscribed" else [body]

    return books(alter, seconds=1), kept[0]


def test_a_subscription_that_is_told_of_after_its_books_is_heard():
    listener, acknowledgement = unacknowledged()
    assert listener.subscriber.received == 0
    tell(listener, **acknowledgement)
    assert listener.subscriber.received == len(TICKERS)
    assert all(row.started_us < listener.now_us for row in listener.listenings(TICKERS[0]))
    listener.run(60)
    assert is_steady(listener)


@pytest.mark.parametrize(
    "loss",
    [
        {"type": "orderbook_delta", "sid": 1, "seq": 10**6, "msg": {}},
        {"type": "orderbook_delta", "sid": 1, "msg": {}},
        {"type": "error", "sid": 1, "msg": {"code": 25, "msg": "overflow"}},
    ],
)
def test_what_is_lost_before_a_subscription_is_told_of_makes_its_books_doubtful(loss):
    listener, acknowledgement = unacknowledged()
    tell(listener, **loss)
    tell(listener, **acknowledgement)
    assert listener.subscriber.received == 0
    listener.run(70)
    assert is_steady(listener)


def test_changes_of_a_subscription_that_was_ended_do_not_make_it_heard():
    listener = books()
    sid, listener.refuses = listener.socket.sid, lambda _: 99
    tell(listener, type="unsubscribed", sid=sid)
    listener.change(TICKERS[0])
    listener.run(5)
    assert (listener.subscriber.sids, listener.subscriber.received) == ([], 0)
    (gap,) = listener.gaps()
    assert (gap.cause, gap.ended_us) == ("unsubscribed", None)
