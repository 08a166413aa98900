from app.runtime.backoff import RetryLater


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_what_fails_again_is_put_off_for_twice_as_long_up_to_a_limit():
    clock = Clock()
    put_off = RetryLater(first_seconds=10, longest_seconds=35, clock=clock)
    pauses = []
    for _ in range(4):
        pauses.append(put_off.failed("A"))
        clock.seconds += pauses[-1] - 1
        assert not put_off.is_due("A")
        clock.seconds += 1
        assert put_off.is_due("A")
    assert pauses == [10, 20, 35, 35]


def test_others_are_not_put_off_and_what_succeeds_begins_anew():
    put_off = RetryLater(first_seconds=10, clock=Clock())
    put_off.failed("A")
    assert (put_off.is_due("A"), put_off.is_due("B")) == (False, True)
    put_off.succeeded("A")
    put_off.succeeded("B")
    assert put_off.is_due("A")
    assert put_off.failed("A") == 10


def test_what_is_not_heard_of_any_more_is_forgotten():
    clock = Clock()
    put_off = RetryLater(first_seconds=10, longest_seconds=100, clock=clock)
    put_off.failed("A")
    clock.seconds = 109
    put_off.failed("B")
    assert len(put_off) == 2
    clock.seconds = 111
    put_off.failed("C")
    assert len(put_off) == 2
