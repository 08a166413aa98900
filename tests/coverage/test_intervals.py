from hypothesis import given
from hypothesis import strategies as st

from app.coverage.intervals import NEVER, difference, intersection, union

TICKS = range(30)
BOUND = st.integers(0, len(TICKS))
ANY = st.lists(st.tuples(BOUND, BOUND), max_size=8)
SETS = ANY.map(union)


def ticks(intervals):
    """The same as a naive set of every tick."""
    return {tick for start, end in intervals for tick in range(start, end)}


def is_canonical(intervals):
    flat = [bound for interval in intervals for bound in interval]
    return flat == sorted(set(flat))


@given(ANY)
def test_a_union_holds_every_tick_once(intervals):
    joined = union(intervals)
    assert ticks(joined) == ticks(intervals)
    assert is_canonical(joined)


@given(SETS, SETS)
def test_an_intersection_holds_what_is_in_both(left, right):
    common = intersection(left, right)
    assert ticks(common) == ticks(left) & ticks(right)
    assert is_canonical(common)


@given(SETS, SETS)
def test_a_difference_holds_what_is_in_the_first_alone(left, right):
    rest = difference(left, right)
    assert ticks(rest) == ticks(left) - ticks(right)
    assert is_canonical(rest)


def test_an_interval_ends_before_its_end():
    assert difference(((0, 10),), ((3, 4), (9, 12))) == ((0, 3), (4, 9))
    assert intersection(((0, 5),), ((5, 9),)) == NEVER
    assert union([(5, 9), (0, 5)]) == ((0, 9),)
