from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.normalize import occurrences
from app.normalize.occurrences import Occurrences
from app.normalize.values import UnfitMessageError

TICKERS = ["A", "B", "C"]


@st.composite
def histories(draw):
    """Each market's changes in their order, the clock standing still or moving on."""
    history = {}
    for ticker in TICKERS:
        clock = 0
        changes = []
        for step, change in draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("xyz")), max_size=12)):
            clock += step
            changes.append((clock, change))
        history[ticker] = changes
    return history


@st.composite
def hearings(draw, history):
    """One connection's order: each market's own is kept, but how they lie between each other differs."""
    left = {ticker: list(changes) for ticker, changes in history.items() if changes}
    heard = []
    while left:
        ticker = draw(st.sampled_from(sorted(left)))
        heard.append((ticker, *left[ticker].pop(0)))
        if not left[ticker]:
            del left[ticker]
    return heard


def keys(heard, counted):
    return [(*event, counted.nth(*event)) for event in heard]


def counted_slowly(heard):
    seen = Counter()
    result = []
    for event in heard:
        result.append((*event, seen[event]))
        seen[event] += 1
    return result


@given(st.data())
def test_two_connections_that_heard_the_same_agree_on_every_key(data):
    history = data.draw(histories())
    one, other = data.draw(hearings(history)), data.draw(hearings(history))
    one_s, other_s = keys(one, Occurrences(len(TICKERS))), keys(other, Occurrences(len(TICKERS)))
    assert sorted(one_s) == sorted(other_s)
    assert len(set(one_s)) == len(one)


@given(st.data())
def test_it_counts_as_a_full_memory_would(data):
    heard = data.draw(hearings(data.draw(histories())))
    assert keys(heard, Occurrences(len(TICKERS))) == counted_slowly(heard)


def test_the_second_of_three_in_one_millisecond_does_not_hide_the_third():
    counted = Occurrences(10)
    assert [counted.nth("A", 5, change) for change in "xyx"] == [0, 0, 1]


@given(st.lists(st.integers(0, 50)))
def test_memory_is_bounded_by_twice_the_capacity(numbers):
    counted = Occurrences(5)
    for number in numbers:
        counted.nth(f"T{number}", 1, "x")
        assert len(counted) <= 10


@given(before=st.integers(0, 20), between=st.integers(0, 5))
def test_a_market_is_remembered_until_as_many_others_as_the_capacity_were_heard(before, between):
    counted = Occurrences(5)
    for number in range(before):
        counted.nth(f"before {number}", 1, "x")
    counted.nth("A", 1, "x")
    for number in range(between):
        counted.nth(f"between {number}", 1, "x")
    assert counted.nth("A", 1, "x") == 1


def test_a_clock_that_stands_still_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(occurrences, "MOST_CHANGES_OF_A_MOMENT", 3)
    counted = Occurrences(5)
    assert [counted.nth("A", 1, change) for change in "xyzx"] == [0, 0, 0, 1]
    with pytest.raises(UnfitMessageError, match="does not advance"):
        counted.nth("A", 1, "another")
    assert counted.nth("A", 2, "another") == 0


def test_a_frame_that_comes_after_the_one_that_follows_it_is_counted_where_it_belongs():
    counted = Occurrences(10)
    assert [counted.nth("A", moment, "x") for moment in (1, 2, 1, 2, 3)] == [0, 0, 1, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.sampled_from("xy")), max_size=15))
def test_frames_of_the_latest_two_moments_are_counted_in_whatever_order_they_come(drawn):
    clock, heard = 0, [("A", 0, "x")]
    for step, is_followed_by_a_late_one, change in drawn:
        clock += step
        heard.append(("A", clock, change))
        if is_followed_by_a_late_one and clock:
            heard.append(("A", clock - 1, change))
    assert keys(heard, Occurrences(10)) == counted_slowly(heard)


@pytest.mark.parametrize(("moments", "told"), [((5, 4), 1), ((5, 3), 1), ((5, 6, 5), 0), ((5, 5), 0), ((5, 7, 6), 1)])
def test_a_market_whose_clock_goes_back_at_all_is_told_of_unless_it_is_a_late_frame(moments, told):
    returned = []
    counted = Occurrences(10, returned.append)
    for moment in moments:
        counted.nth("A", moment, "x")
    assert returned == ["A"] * told
