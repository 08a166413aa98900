"""From when to when a book socket says that it did not hear, and since when each market is listened to."""

import pytest

from app.subscriptions.journal import ALL_SUBSCRIPTIONS
from tests.subscriptions.book_listener import SECOND_US, Listener, tickers_of
from tests.subscriptions.exchange import Stream


@pytest.fixture
def listener():
    return Listener("ABC").want("ABC")


def until_heard(listener, count):
    """When so many are heard again."""
    listener.run(60, until=lambda: listener.subscriber.received == count)
    assert listener.subscriber.received == count
    return listener.now_us


def test_a_market_is_listened_to_from_its_snapshot_on_until_it_is_not_wanted(listener):
    (row,) = listener.listenings("A")
    assert row.ended_us is None
    listener.journal.lag_us = SECOND_US
    listener.now_us += 20 * SECOND_US
    listener.subscriber.unwant(["A"], listener.now_us)
    assert [(each.started_us, each.ended_us) for each in listener.listenings("A")] == [
        (row.started_us, listener.now_us - SECOND_US)
    ]
    assert listener.listenings("B")[0].ended_us is None


def test_what_is_lost_is_missed_from_the_last_message_to_the_last_snapshot(listener):
    heard_us = listener.change("A")
    listener.lose_a_change("B", seconds=5)
    noticed_us = listener.change("C", seconds=5)
    assert listener.subscriber.received == 0
    (gap,) = listener.gaps()
    assert (gap.cause, gap.started_us, gap.ended_us, gap.markets, gap.missing) == ("sequence", heard_us, None, 3, 1)
    # Two of the three snapshots.
    commands = listener.subscriber.commands(noticed_us)
    for command in commands:
        listener.socket.hear(command)
    for said in list(listener.socket.said)[:2]:
        listener.deliver(said)
    assert (listener.subscriber.received, listener.gaps()[0].ended_us) == (2, None)
    listener.now_us += SECOND_US
    listener.deliver(listener.socket.said[2])
    assert [each.ended_us for each in listener.gaps()] == [listener.now_us]
    assert not listener.stream.in_doubt
    assert [len(listener.listenings(ticker)) for ticker in "ABC"] == [1, 1, 1], "a gap ends no subscription"


def test_losses_of_which_the_second_comes_before_the_first_is_mended_add_up(listener):
    for lost in (1, 2):
        for _ in range(lost):
            listener.lose_a_change("B")
        listener.change("A")
    assert until_heard(listener, 3) == listener.gaps()[0].ended_us
    assert [gap.missing for gap in listener.gaps()] == [3]


def test_a_market_that_leaves_after_two_losses_was_heard_until_the_first(listener):
    heard_us = listener.change("A")
    listener.lose_a_change("B", seconds=5)
    listener.change("C", seconds=5)
    listener.socket.change("B", 1)
    said = listener.socket.said.popleft()
    listener.deliver(said._replace(frame=said.frame.replace(b'"0.5000"', b"{}")))
    first, second = listener.gaps()
    assert first.started_us == heard_us < second.started_us
    listener.subscriber.unwant(["A"], listener.now_us)
    assert [row.ended_us for row in listener.listenings("A")] == [heard_us]


def test_a_book_that_came_by_itself_after_a_loss_is_not_asked_for(listener):
    listener.lose_a_change("B")
    listener.change("A")
    listener.socket._snapshot("B")
    listener.deliver(listener.socket.said.popleft())
    until_heard(listener, 3)
    (asked,) = listener.said("get_snapshot")
    assert sorted(tickers_of(asked)) == ["A", "C"]


def test_a_disconnect_is_missed_from_the_last_message_whatever_pings_came_after_it(listener):
    sent_us = listener.change("A", under_way_us=SECOND_US // 10)
    listener.socket.forget()
    listener.now_us += 20 * SECOND_US
    listener.subscriber.closed(listener.now_us)
    (gap,) = listener.gaps()
    assert (gap.cause, gap.sid, gap.started_us) == ("disconnected", ALL_SUBSCRIPTIONS, sent_us)
    listener.now_us += 30 * SECOND_US
    listener.stream = Stream(listener.subscriber)
    listener.subscriber.opened(listener.stream, listener.now_us)
    assert until_heard(listener, 3) == listener.gaps()[0].ended_us
    assert [len(listener.listenings(ticker)) for ticker in "ABC"] == [1, 1, 1]


def test_a_disconnect_after_the_last_market_left_is_missed_once_and_until_the_latest_of_them_left():
    """Although the clock was set back between the two."""
    listener = Listener("AB").want("AB")
    heard_us = listener.change("A")
    for ticker, seconds in (("A", 20), ("B", 10)):
        listener.subscriber.unwant([ticker], heard_us + seconds * SECOND_US)
    for seconds in (30, 60):  # the second socket fails before it has subscribed to anything
        listener.subscriber.closed(heard_us + seconds * SECOND_US)
        listener.subscriber.opened(Stream(listener.subscriber), heard_us + seconds * SECOND_US)
    assert [(gap.started_us, gap.ended_us) for gap in listener.gaps()] == [(heard_us, heard_us + 20 * SECOND_US)]


def test_a_loss_that_ends_since_the_last_lacking_market_leaves_ends_with_the_last_snapshot(listener):
    listener.lose_a_change("B", seconds=5)
    listener.change("C", seconds=5)
    for command in listener.subscriber.commands(listener.now_us):
        listener.socket.hear(command)
    listener.now_us += SECOND_US
    for said in list(listener.socket.said)[:2]:
        listener.deliver(said)
    snapshots_us = listener.now_us
    (lacking,) = [ticker for ticker in "ABC" if not listener.subscriber.receives(ticker)]
    listener.now_us += SECOND_US
    listener.subscriber.unwant([lacking], listener.now_us)
    assert [gap.ended_us for gap in listener.gaps()] == [snapshots_us]


def test_what_comes_for_another_subscription_of_the_socket_proves_nothing_of_this_one(listener):
    heard_us = listener.change("A")
    listener.now_us += 20 * SECOND_US
    listener.subscriber.note_received(listener.socket.sid + 1, listener.now_us)
    listener.subscriber.closed(listener.now_us)
    assert [gap.started_us for gap in listener.gaps()] == [heard_us]


@pytest.mark.parametrize(("code", "cause"), [(10, "channel_error"), (25, "overflow")])
def test_a_subscription_that_the_exchange_ends_is_missed_from_its_last_message(listener, code, cause):
    heard_us, sid = listener.change("A"), listener.socket.sid
    listener.now_us += 5 * SECOND_US
    listener.socket.end(code)
    listener.deliver(listener.socket.said.popleft())
    (gap,) = listener.gaps()
    assert (gap.cause, gap.sid, gap.started_us, gap.ended_us, gap.missing) == (cause, sid, heard_us, None, None)
    assert until_heard(listener, 3) == listener.gaps()[0].ended_us


def test_an_end_that_nobody_told_of_shows_within_about_a_minute_and_is_missed_from_the_last_message(listener):
    heard_us = listener.change("A")
    listener.socket.forget()
    listener.run(65, until=listener.gaps)
    (gap,) = listener.gaps()
    assert (gap.cause, gap.started_us) == ("unsubscribed", heard_us)
    assert until_heard(listener, 3) == listener.gaps()[0].ended_us


def test_a_change_that_cannot_be_read_is_missed_from_the_message_before(listener):
    heard_us = listener.change("A")
    listener.now_us += 5 * SECOND_US
    listener.socket.change("B", 1)
    said = listener.socket.said.popleft()
    listener.deliver(said._replace(frame=said.frame.replace(b'"0.5000"', b"{}")))
    (gap,) = listener.gaps()
    assert (gap.cause, gap.started_us, gap.ended_us) == ("unreadable", heard_us, None)
    assert listener.stream.in_doubt == {listener.socket.sid}
    until_heard(listener, 3)
    assert listener.gaps()[0].ended_us == listener.now_us
    assert not listener.stream.in_doubt


def test_a_market_that_does_not_come_back_was_listened_to_until_the_loss(listener):
    heard_us = listener.change("A")
    listener.socket.known.discard("B")
    listener.lose_a_change("C", seconds=5)
    listener.change("C", seconds=5)
    listener.run(200, until=lambda: listener.listenings("B")[0].ended_us is not None)
    assert listener.listenings("B")[0].ended_us == heard_us
    assert listener.subscriber.received == 2
    assert listener.stream.in_doubt == {listener.socket.sid}, "what may still come of it follows no snapshot"
    # It is tried again, and begins anew.
    listener.socket.known.add("B")
    until = until_heard_again(listener)
    assert [row.ended_us is None for row in listener.listenings("B")] == [False, True]
    assert listener.listenings("B")[1].started_us == until


def until_heard_again(listener):
    listener.run(400, until=lambda: listener.subscriber.receives("B"))
    return listener.now_us


def test_an_answer_to_a_question_of_before_is_no_beginning(listener):
    """Only what comes unasked shows that a market has joined."""
    listener.subscriber.unwant(["A"], listener.now_us)
    for command in listener.subscriber.commands(listener.now_us):
        listener.socket.hear(command)
    listener.deliver(listener.socket.said.popleft())
    listener.subscriber.want(["A"])
    listener.subscriber.commands(listener.now_us)
    listener.socket._snapshot("A", number=77)
    listener.deliver(listener.socket.said.pop())
    assert not listener.subscriber.receives("A")
