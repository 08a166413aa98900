from hypothesis import given
from hypothesis import strategies as st

from app.runtime.backoff import LAST_RETRY_SECONDS, MergeBackoff


def paces(pace, *steps):
    seen = []
    for step in steps:
        step(pace)
        seen.append(pace.pause_seconds)
    return seen


def found(rows, *, has_more=False):
    return lambda pace: pace.found(rows, has_more=has_more)


def test_it_does_not_wait_while_there_is_more_and_slows_down_while_there_is_nothing():
    pace = MergeBackoff(0.1, 0.3)
    assert paces(pace, found(9, has_more=True), found(9)) == [0, 0.1]
    assert [round(pause, 3) for pause in paces(pace, *[found(0)] * 4)] == [0.15, 0.225, 0.3, 0.3]
    assert paces(pace, found(1)) == [0.1]


def test_it_waits_longer_with_every_failure_and_starts_over_after_a_success():
    pace = MergeBackoff(0.1, 0.3, chance=lambda: 1.0)
    assert paces(pace, *[MergeBackoff.failed] * 7) == [1, 2, 4, 8, 16, 30, 30]
    assert paces(pace, found(1), MergeBackoff.failed) == [0.1, 1]


@given(st.floats(0, 1), st.integers(1, 20))
def test_retries_are_spread(chance, failures):
    pauses = paces(MergeBackoff(0.1, 0.3, chance=lambda: chance), *[MergeBackoff.failed] * failures)
    assert all(0.5 <= pause <= LAST_RETRY_SECONDS for pause in pauses)
