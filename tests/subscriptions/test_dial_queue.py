"""Who dials next, and when: pure, with the time told."""

import itertools
from random import Random

import pytest

from app.subscriptions.dial_queue import DENIED_SECONDS, LONGEST_SECONDS, DialQueue


@pytest.fixture
def dial_queue():
    return DialQueue(10, Random(1), 0.0)


def join(dial_queue, count, *, is_of_books=True):
    return [dial_queue.join(is_of_books=is_of_books) for _ in range(count)]


def dial(dial_queue, now_seconds):
    """The first in the line, and when it may dial; it does."""
    turn = dial_queue.first
    while wait_seconds := dial_queue.take(turn, now_seconds):
        now_seconds += wait_seconds
    return turn, now_seconds


def test_connections_of_the_whole_exchange_go_before_order_books(dial_queue):
    books = join(dial_queue, 2)
    (role,) = join(dial_queue, 1, is_of_books=False)
    assert dial_queue.take(books[0], 0.0) > 0
    assert dial_queue.take(role, 0.0) == 0
    assert dial_queue.take(books[0], 100.0) > 0, "that one may need the last place"
    dial_queue.opened(role)
    assert dial_queue.take(books[0], 100.0) == 0
    assert dial_queue.take(books[1], 100.0) == 0


def test_no_more_dial_in_a_second_than_are_allowed(dial_queue):
    join(dial_queue, 30)
    moments = [0.0]
    for _ in range(30):
        turn, now_seconds = dial(dial_queue, moments[-1])
        moments.append(now_seconds)
        dial_queue.opened(turn)
    assert moments[10] == 0
    assert moments[30] == pytest.approx(2.0, abs=0.01)


def fail(dial_queue, now_seconds, **details):
    """The next attempt, which fails at once. Return when it was."""
    turn, now_seconds = dial(dial_queue, now_seconds)
    dial_queue.failed(turn, now_seconds, **details)
    return now_seconds


def test_after_a_failure_one_dials_at_a_time_and_ever_more_slowly(dial_queue):
    join(dial_queue, 20)
    moments = [fail(dial_queue, 0.0, is_refused=True)]
    assert dial_queue.is_refusing
    for _ in range(15):
        turn, now_seconds = dial(dial_queue, moments[-1])
        assert dial_queue.take(dial_queue.first, now_seconds + LONGEST_SECONDS) > LONGEST_SECONDS, "one is dialling"
        dial_queue.failed(turn, now_seconds, is_refused=True)
        moments.append(now_seconds)
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert 0.5 <= pauses[0] <= 1
    assert all(LONGEST_SECONDS / 2 <= pause <= LONGEST_SECONDS for pause in pauses[-5:])


def test_the_first_that_succeeds_lets_all_in_at_the_usual_rate(dial_queue):
    join(dial_queue, 20)
    now_seconds = 0.0
    for _ in range(9):
        now_seconds = fail(dial_queue, now_seconds)
    turn, now_seconds = dial(dial_queue, now_seconds)
    assert dial_queue.opened(turn)
    turn, at_seconds = dial(dial_queue, now_seconds)
    assert at_seconds == now_seconds
    assert not dial_queue.opened(turn), "it is no news any more"
    assert fail(dial_queue, now_seconds) == now_seconds
    assert dial(dial_queue, now_seconds)[1] <= now_seconds + 1, "patience begins anew"


def test_a_success_of_before_the_failure_proves_nothing(dial_queue):
    join(dial_queue, 3)
    (early, _), (late, _) = dial(dial_queue, 0.0), dial(dial_queue, 0.0)
    dial_queue.failed(late, 0.1, is_refused=True)
    assert not dial_queue.opened(early)
    assert dial_queue.is_failing
    assert dial_queue.take(dial_queue.first, 0.1) > 0


def test_failures_of_one_moment_count_once(dial_queue):
    join(dial_queue, 11)
    for turn, _ in [dial(dial_queue, 0.0) for _ in range(10)]:
        dial_queue.failed(turn, 0.5)
    assert dial(dial_queue, 0.5)[1] <= 1.5


def test_a_key_that_is_refused_is_tried_again_soon_and_in_the_end_every_five_minutes(dial_queue):
    join(dial_queue, 20)
    moments = [fail(dial_queue, 0.0, is_refused=True, is_denied=True)]
    for _ in range(15):
        moments.append(fail(dial_queue, moments[-1], is_refused=True, is_denied=True))
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert 0.5 <= pauses[0] <= 1
    assert all(DENIED_SECONDS / 2 <= pause <= DENIED_SECONDS for pause in pauses[-5:])


def test_an_exchange_that_refuses_the_key_while_it_restarts_is_not_left_alone_for_long(dial_queue):
    join(dial_queue, 20)
    now_seconds = 0.0
    for is_denied in (True, False, True, False):
        now_seconds = fail(dial_queue, now_seconds, is_refused=True, is_denied=is_denied)
    _, at_seconds = dial(dial_queue, now_seconds)
    assert at_seconds < 10


def test_one_that_leaves_the_line_holds_nobody_up(dial_queue):
    first, second = join(dial_queue, 2)
    dial_queue.leave(first)
    dial_queue.leave(first)
    assert dial_queue.take(second, 0.0) == 0
