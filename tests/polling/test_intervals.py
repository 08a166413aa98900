from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.polling.trades import LONGEST_US, Interval, Intervals

MOMENTS = st.integers(0, 300)
SPANS = st.tuples(MOMENTS, MOMENTS).map(lambda pair: Interval(min(pair), max(pair)))
HOUR = LONGEST_US


def of(*spans, most=1_000):
    intervals = Intervals(most)
    for span in spans:
        intervals.add(Interval(*span))
    return intervals


def moments(intervals):
    """Twice as fine as the bounds, so that what lies between two of them is seen too."""
    return {moment for each in intervals for moment in range(2 * each.started_us, 2 * each.ended_us + 1)}


def hull(intervals):
    return min(each.started_us for each in intervals), max(each.ended_us for each in intervals)


@given(st.lists(SPANS, max_size=20))
def test_nothing_is_lost_or_added_by_merging_and_no_two_touch(spans):
    merged = list(of(*spans))
    assert moments(merged) == moments(spans)
    assert all(one.ended_us < other.started_us for one, other in pairwise(merged))


@given(st.lists(SPANS, min_size=1, max_size=20), st.integers(1, 4))
def test_it_stays_within_its_bound_and_loses_nothing(spans, most):
    bounded = of(*spans, most=most)
    assert len(bounded) <= most
    assert moments(bounded) >= moments(spans)
    assert hull(bounded) == hull(spans)


@given(st.lists(SPANS, max_size=10), SPANS)
def test_what_is_done_is_taken_out_and_nothing_else(spans, done):
    left = of(*spans)
    left.remove(done)
    assert {moment for moment in moments(spans) if not 2 * done.started_us <= moment <= 2 * done.ended_us} <= moments(
        left
    )
    assert not moments(left) & set(range(2 * done.started_us + 1, 2 * done.ended_us))


@given(st.lists(st.tuples(MOMENTS, MOMENTS).map(lambda pair: Interval(min(pair) * HOUR // 7, max(pair) * HOUR // 7))))
def test_piece_by_piece_everything_gets_done_each_at_most_an_hour(spans):
    waiting, done = of(*spans), Intervals()
    while piece := waiting.next_piece(until_us=300 * HOUR):
        assert piece.ended_us - piece.started_us <= HOUR
        done.add(piece)
        waiting.remove(piece)
    assert len(waiting) == 0
    assert list(done) == list(of(*spans))


def test_an_interval_that_has_not_ended_before_the_given_time_waits():
    intervals = of((10, 20), (30, 40))
    assert (intervals.next_piece(19), intervals.next_piece(20)) == (None, (10, 20))
    intervals.remove(Interval(10, 20))
    assert intervals.next_piece(39) is None


def test_one_that_is_never_done_does_not_keep_the_others_waiting():
    intervals = of((10, 20), (30, 40))
    assert [intervals.next_piece(99) for _ in range(3)] == [(10, 20), (30, 40), (10, 20)]


def test_a_long_one_that_is_never_done_is_tried_in_all_its_hours():
    intervals = of((0, 2 * HOUR), (5 * HOUR, 5 * HOUR))
    starts = [intervals.next_piece(9 * HOUR).started_us for _ in range(4)]
    assert starts == [0, HOUR, 5 * HOUR, 0]


def test_it_tells_how_much_waits():
    assert of((0, 2_000_000), (1_000_000, 3_000_000), (9_000_000, 9_500_000)).seconds == 3


def test_an_interval_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="ends before"):
        of((2, 1))
