from hypothesis import given
from hypothesis import strategies as st

from app.audit.pairs import Difference, differences, levels_of
from kalshi_data.order_book import apply_deltas

LEVEL = st.tuples(st.booleans(), st.integers(1, 5).map(lambda cents: cents * 10_000))
BOOK = st.dictionaries(LEVEL, st.integers(1, 500), max_size=6)
CHANGES = st.lists(st.tuples(LEVEL, st.integers(-300, 300)).map(lambda change: (*change[0], change[1])), max_size=8)


@given(BOOK, BOOK)
def test_a_book_is_itself_and_no_other(book, other):
    assert differences(book, [], book) == []
    assert bool(differences(book, [], other)) == (book != other)


@given(BOOK, BOOK, CHANGES)
def test_without_too_much_taken_away_it_is_the_book_that_changes_make(base, more, changes):
    whole = [*changes, *((*level, 10_000) for level in {*base, *more, *((side, price) for side, price, _ in changes)})]
    assert differences(base, whole, apply_deltas(base, whole)) == []


@given(BOOK, st.lists(LEVEL, min_size=1, max_size=1))
def test_a_lost_change_shows_at_its_level(base, levels):
    (level,) = levels
    seen = apply_deltas(base, [(*level, 100)])
    assert differences(base, [], seen) == [Difference(*level, base.get(level, 0), base.get(level, 0) + 100)]


def test_more_taken_away_than_there_was_is_not_an_empty_level():
    assert differences({}, [(True, 10_000, -5)], {}) == [Difference(True, 10_000, -5, 0)]


def test_columns_are_levels_of_two_sides():
    assert levels_of([10_000], [5], [10_000, 20_000], [6, 7]) == {
        (True, 10_000): 5,
        (False, 10_000): 6,
        (False, 20_000): 7,
    }
