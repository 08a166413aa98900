"""Short lives are proven too: a book is asked for once more shortly before its market closes."""

import json
from itertools import count

import pytest

from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.journal import Journal
from tests.subscriptions.exchange import Socket, Stream

SECOND_US = 1_000_000
TICKERS = [f"KXHOURLY-{number:03}" for number in range(250)]


@pytest.fixture
def listening():
    """A subscription that has heard of every market, and the exchange's end of its socket."""
    subscriber = BookSubscription(Journal(SECOND_US, 7, count(1)), 21_600)
    socket, stream = Socket(set(TICKERS), lambda: SECOND_US), Stream(subscriber)
    subscriber.opened(stream, SECOND_US)
    subscriber.want(TICKERS)
    exchange(subscriber, socket, stream, 10)
    assert subscriber.received == len(TICKERS)
    return subscriber, socket, stream


def exchange(subscriber, socket, stream, seconds):
    """What it asks for in that time, with every answer given."""
    asked = []
    for second in range(seconds):
        for command in subscriber.commands((20 + second) * SECOND_US):
            asked.append(json.loads(command))
            socket.hear(command)
        while socket.said:
            stream.read(socket.said.popleft().frame, (20 + second) * SECOND_US)
    return [
        each["params"]["market_tickers"] for each in asked if each.get("params", {}).get("action") == "get_snapshot"
    ]


def test_books_of_markets_that_are_about_to_close_are_asked_for_in_batches(listening):
    subscriber, *_ = listening
    for ticker in TICKERS:
        subscriber.request_before_closing(ticker)
    batches = exchange(*listening, 5)
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert sorted(ticker for batch in batches for ticker in batch) == TICKERS
    assert exchange(*listening, 5) == []


def test_one_that_has_left_meanwhile_or_was_never_here_is_not_asked_for(listening):
    subscriber, *_ = listening
    subscriber.request_before_closing(TICKERS[0])
    subscriber.request_before_closing("KXELSEWHERE")
    subscriber.unwant([TICKERS[0]], 15 * SECOND_US)
    assert exchange(*listening, 5) == []


def test_after_a_loss_they_are_asked_for_once_with_all_the_others(listening):
    subscriber, socket, _ = listening
    socket.seq += 1  # a frame is lost
    socket.change(TICKERS[1], 1)
    exchange(*listening, 1)
    subscriber.request_before_closing(TICKERS[0])
    asked = [ticker for batch in exchange(*listening, 5) for ticker in batch]
    assert asked.count(TICKERS[0]) >= 1
    assert subscriber.in_doubt == 0


def test_what_was_to_be_asked_on_a_socket_that_closed_is_not_asked_on_the_next_one(listening):
    subscriber, *_ = listening
    subscriber.request_before_closing(TICKERS[0])
    subscriber.closed(16 * SECOND_US)
    socket, stream = Socket(set(TICKERS), lambda: SECOND_US), Stream(subscriber)
    subscriber.opened(stream, 17 * SECOND_US)
    assert exchange(subscriber, socket, stream, 5) == []
    assert subscriber.received == len(TICKERS)
