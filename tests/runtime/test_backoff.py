"""How long is waited after failures: pure, with chance and time given."""

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.backoff import SECOND_US, Backoff, KeyedBackoff
from tests.clock import Clock

SHARES = st.floats(0, 1)
FIRST, LONGEST = st.floats(0, 100), st.floats(0, 1_000)
FAILURES = st.integers(1, 40)


def waits(backoff, count):
    return [backoff.failed() for _ in range(count)]


def test_it_waits_twice_as_long_with_every_failure_up_to_a_limit_and_starts_over_after_a_success():
    backoff = Backoff(1, 30)
    assert waits(backoff, 7) == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.failures == 7
    backoff.succeeded()
    assert (backoff.failures, backoff.failed()) == (0, 1)


@given(FIRST, LONGEST, SHARES, st.lists(SHARES, min_size=1, max_size=40))
def test_a_wait_is_at_most_what_it_is_without_jitter_and_at_least_the_share_that_is_not_random(
    first, longest, jitter, chances
):
    limits = waits(Backoff(first, longest), len(chances))
    drawn = iter(chances)
    seen = waits(Backoff(first, longest, jitter=jitter, chance=lambda: next(drawn)), len(chances))
    assert limits == sorted(limits)
    assert limits[-1] <= longest
    assert all((1 - jitter) * limit <= wait <= limit * (1 + 1e-9) for wait, limit in zip(seen, limits, strict=True))


@given(FAILURES)
def test_jitter_takes_a_wait_down_to_its_least_and_no_further(failures):
    least = waits(Backoff(1, 30, jitter=1.0, chance=lambda: 0.0), failures)
    halves = waits(Backoff(1, 30, jitter=0.5, chance=lambda: 0.0), failures)
    bounded = waits(Backoff(1, 30, jitter=1.0, shortest_seconds=0.25, chance=lambda: 0.0), failures)
    limits = waits(Backoff(1, 30), failures)
    assert set(least) == {0}
    assert halves == [limit / 2 for limit in limits]
    assert set(bounded) == {0.25}


def test_those_that_failed_together_do_not_return_together():
    seconds = [waits(Backoff(1, 30, jitter=0.5), 6)[-1] for _ in range(20)]
    assert len(set(seconds)) == 20
    assert all(15 <= wait <= 30 for wait in seconds)


@given(st.integers(0, 10**15), st.lists(st.integers(0, 200_000_000), max_size=30))
def test_failures_during_a_wait_count_once(began_us, steps_us):
    """A wait is as if all that failed in it had failed once, at its beginning."""
    backoff, alone = Backoff(0.1, 60), Backoff(0.1, 60)
    now_us = until_us = began_us
    for step_us in (0, *steps_us):
        now_us += step_us
        assert backoff.lasts(now_us) == (now_us < until_us)
        if now_us >= until_us:
            until_us = now_us + round(alone.failed() * SECOND_US)
        assert backoff.failed_at(now_us) == (until_us - now_us) / SECOND_US
        assert backoff.until_us == until_us


def test_a_success_shortens_the_next_wait_and_not_the_present_one():
    backoff = Backoff(1, 60)
    backoff.failed_at(0)
    backoff.failed_at(SECOND_US)
    backoff.succeeded()
    assert backoff.lasts(3 * SECOND_US - 1)
    assert not backoff.lasts(3 * SECOND_US)
    assert backoff.failed_at(3 * SECOND_US) == 1


def test_what_fails_again_is_put_off_for_twice_as_long_up_to_a_limit():
    clock = Clock()
    put_off = KeyedBackoff(first_seconds=10, longest_seconds=35, clock=clock)
    pauses = []
    for _ in range(4):
        pauses.append(put_off.failed("A"))
        clock.seconds += pauses[-1] - 1
        assert not put_off.is_due("A")
        clock.seconds += 1
        assert put_off.is_due("A")
    assert pauses == [10, 20, 35, 35]


def test_others_are_not_put_off_and_what_succeeds_begins_anew():
    put_off = KeyedBackoff(first_seconds=10, clock=Clock())
    put_off.failed("A")
    assert (put_off.is_due("A"), put_off.is_due("B")) == (False, True)
    put_off.succeeded("A")
    put_off.succeeded("B")
    assert put_off.is_due("A")
    assert put_off.failed("A") == 10


def test_what_is_not_heard_of_any_more_is_forgotten():
    clock = Clock()
    put_off = KeyedBackoff(first_seconds=10, longest_seconds=100, clock=clock)
    put_off.failed("A")
    clock.seconds = 109
    put_off.failed("B")
    assert len(put_off) == 2
    clock.seconds = 111
    put_off.failed("C")
    assert len(put_off) == 2
