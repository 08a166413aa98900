import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.process.service import HUB_INTERVAL_SECONDS, lags


def test_a_turn_in_time_is_one_figure_and_never_below_zero():
    assert list(lags(0)) == [0]
    assert list(lags(-0.001)) == [0]
    assert list(lags(0.01)) == [0.01]


@given(st.floats(min_value=0, max_value=100))
def test_a_stall_counts_once_for_every_turn_that_fell_into_it(late_seconds):
    seen = list(lags(late_seconds))
    assert seen[0] == late_seconds
    assert len(seen) == pytest.approx(late_seconds / HUB_INTERVAL_SECONDS + 1, abs=1.1)
    assert all(0 <= lag <= late_seconds for lag in seen)
