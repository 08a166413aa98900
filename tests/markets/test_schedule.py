from hypothesis import given
from hypothesis import strategies as st

from app.markets import store
from app.markets.store import Schedule

SECOND_US = 1_000_000


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(1, 20)), max_size=50))
def test_each_slot_is_due_once_at_its_last_set_second(steps):
    due, expected = Schedule(), {}
    for slot, second in steps:
        due.set(slot, None if second is None else second * SECOND_US)
        expected[slot] = second
    expected = {slot: second for slot, second in expected.items() if second is not None}
    assert len(due) == len(expected)
    seen = {}
    for second in range(21):
        while (slot := due.next_due(second * SECOND_US)) is not None:
            assert slot not in seen
            seen[slot] = second
    assert seen == expected


def test_it_is_never_early():
    due = Schedule()
    due.set(0, 3 * SECOND_US + 1)
    assert due.next_due(3 * SECOND_US + 999_999) is None
    assert due.next_due(4 * SECOND_US) == 0


def test_moments_that_were_overtaken_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(store, "SPARE_ENTRIES", 10)
    due = Schedule()
    assert due.next_due(0) is None
    for second in range(1_000, 0, -1):
        due.set(0, second * SECOND_US)
    assert len(due._line) < 20
    assert due.next_due(SECOND_US) == 0
    assert due.next_due(2_000 * SECOND_US) is None


def test_what_is_far_away_comes_in_its_time():
    due = Schedule()
    assert due.next_due(0) is None
    for hours in (1, 5, 30):
        due.set(hours, hours * 3_600 * SECOND_US)
    slots = [(minute, due.next_due(minute * 60 * SECOND_US)) for minute in range(31 * 60)]
    assert [each for each in slots if each[1] is not None] == [(60, 1), (300, 5), (1_800, 30)]
