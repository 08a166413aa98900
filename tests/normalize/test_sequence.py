import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.normalize.stream import FirstNumbers, SequenceCheck, SequenceGap


def gaps(sequence, numbers, sid=1):
    return [gap for gap in (sequence.check(sid, number) for number in numbers) if gap]


def test_the_first_number_of_a_subscription_is_taken_as_it_is():
    assert gaps(SequenceCheck(), [17, 18, 19]) == []


@pytest.mark.parametrize(("first", "missing"), [(1, []), (2, []), (3, [1]), (9, [7])])
def test_what_is_heard_from_the_acknowledgement_on_lacks_what_came_before_a_later_number(first, missing):
    found = gaps(SequenceCheck(from_the_first=True), [first, first + 1])
    assert [gap.missing for gap in found] == missing


def test_where_one_subscription_began_with_1_another_that_begins_with_2_lacks_its_first():
    numbers = FirstNumbers()
    assert gaps(SequenceCheck(numbers), [1]) == []
    (gap,) = gaps(SequenceCheck(numbers, from_the_first=True), [2, 3])
    assert (gap.expected, gap.missing) == (1, 1)


def test_a_gap_says_what_is_missing():
    (gap,) = gaps(SequenceCheck(), [1, 2, 6, 7])
    assert gap == SequenceGap(sid=1, expected=3, received=6)
    assert gap.missing == 3


def test_numbers_that_go_back_are_no_proof_of_completeness_either():
    found = gaps(SequenceCheck(), [5, 6, 2, 3, 3])
    assert [(gap.expected, gap.received, gap.missing) for gap in found] == [(7, 2, -5), (4, 3, -1)]


def test_a_subscription_that_was_ended_starts_anew():
    sequence = SequenceCheck()
    sequence.check(1, 50)
    sequence.forget(1)
    sequence.forget(2)
    assert sequence.check(1, 1) is None


@given(st.sets(st.integers(1, 60)), st.lists(st.booleans(), min_size=60, max_size=60))
def test_every_loss_is_found_whatever_goes_on_beside_it(lost, beside):
    """Subscription 2 loses nothing in between; the gaps of 1 add up to what it lost after its first message."""
    sequence = SequenceCheck()
    heard = [number for number in range(1, 62) if number not in lost]
    found = []
    other = 0
    for number, also_other in zip(heard, beside, strict=False):
        if also_other:
            other += 1
            assert sequence.check(2, other) is None
        if gap := sequence.check(1, number):
            found += range(gap.expected, gap.received)
    assert found == sorted(number for number in lost if heard[0] < number)
