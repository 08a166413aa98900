import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.errors import UnexpectedAnswerError
from app.kalshi.rest_client import CursorGuard


def steps_until_refused(cursors):
    guard = CursorGuard()
    for steps, cursor in enumerate(cursors, 1):
        try:
            guard.check(cursor)
        except UnexpectedAnswerError:
            return steps
    return None


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_circle_of_any_length_is_found_soon(straight, circle):
    way = [f"straight {number}" for number in range(straight)]
    rounds = itertools.cycle([f"circle {number}" for number in range(circle)])
    found = steps_until_refused(itertools.islice(itertools.chain(way, rounds), 5 * (straight + circle) + 5))
    assert found is not None
    assert found > straight


@given(st.lists(st.text(), unique=True, max_size=300))
def test_cursors_that_all_differ_are_fine(cursors):
    assert steps_until_refused(cursors) is None


def test_the_same_cursor_twice_is_refused_at_once():
    guard = CursorGuard()
    guard.check("a")
    with pytest.raises(UnexpectedAnswerError):
        guard.check("a")
