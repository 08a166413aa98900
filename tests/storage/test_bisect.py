import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.quarantine import store_what_fits


class BadItemError(Exception):
    pass


def run(items):
    """Stores even numbers; an odd one spoils whatever it comes with."""
    stored, rejected, attempts = [], [], 0

    def store(part):
        nonlocal attempts
        attempts += 1
        if any(item % 2 for item in part):
            raise BadItemError
        stored.extend(part)
        return len(part)

    count = store_what_fits(items, store, lambda item, _error: rejected.append(item), (BadItemError,))
    return count, stored, rejected, attempts


@given(st.lists(st.integers()))
def test_what_fits_is_stored_in_order_and_the_rest_rejected(items):
    count, stored, rejected, _ = run(items)
    assert stored == [item for item in items if item % 2 == 0]
    assert rejected == [item for item in items if item % 2]
    assert count == len(stored)


@given(st.lists(st.integers().map(lambda number: 2 * number), min_size=1))
def test_without_a_bad_item_there_is_one_attempt(items):
    assert run(items)[3] == 1


@given(st.integers(2, 5_000), st.data())
def test_one_bad_item_is_found_in_few_attempts(size, data):
    items = [0] * size
    items[data.draw(st.integers(0, size - 1))] = 1
    assert run(items)[3] <= 2 * math.ceil(math.log2(size)) + 1


def test_another_error_is_nobody_s_fault_and_goes_up():
    def fail(_part):
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        store_what_fits([1, 2], fail, lambda _item, _error: None, (BadItemError,))
