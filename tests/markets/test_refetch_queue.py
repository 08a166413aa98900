from hypothesis import given
from hypothesis import strategies as st

from app.markets.refetch_queue import BACK_OFF_US, CONFIRMING_US, SECOND_US, SOON_US, RefetchQueue


class Clock:
    now_us = 0

    def __call__(self):
        return self.now_us


def made(**options):
    clock = Clock()
    return clock, RefetchQueue("markets", clock_us=clock, **options)


def taken_at(rereads, clock, now_us):
    clock.now_us = now_us
    return rereads.take(1_000)


def test_what_was_announced_is_read_soon_and_again_behind_the_cache():
    clock, rereads = made()
    rereads.want("A")
    clock.now_us = 1
    rereads.want("A")
    assert taken_at(rereads, clock, SOON_US - 1) == {}
    taken = taken_at(rereads, clock, SOON_US)
    assert list(taken) == ["A"]
    rereads.settle(taken, {"A"})
    assert taken_at(rereads, clock, SOON_US + CONFIRMING_US - 1) == {}
    rereads.settle(taken_at(rereads, clock, SOON_US + CONFIRMING_US), {"A"})
    assert len(rereads) == 0


def test_one_that_is_not_found_is_asked_for_less_and_less_often_and_then_left():
    clock, rereads = made()
    rereads.want("A")
    delays_us = []
    while len(rereads):
        before_us = clock.now_us
        taken = taken_at(rereads, clock, 10**12)
        clock.now_us = taken["A"].due_us
        delays_us.append(clock.now_us - before_us)
        left = rereads.settle(taken, set())
    assert delays_us == [SOON_US, *BACK_OFF_US]
    assert left == ["A"]


def test_what_happens_while_it_is_read_is_read_again():
    clock, rereads = made()
    rereads.want("A")
    taken = taken_at(rereads, clock, SOON_US)
    rereads.want("A")
    rereads.settle(taken, {"A"})
    assert list(taken_at(rereads, clock, 2 * SOON_US)) == ["A"]


def test_what_happens_while_it_waits_for_the_cache_is_read_soon():
    clock, rereads = made()
    rereads.confirm("A")
    rereads.want("A")
    assert list(taken_at(rereads, clock, SOON_US)) == ["A"]
    assert taken_at(rereads, clock, 100 * SECOND_US) == {}


def test_what_could_not_be_asked_for_is_kept():
    clock, rereads = made()
    rereads.want("A")
    rereads.put_back(taken_at(rereads, clock, SOON_US))
    assert list(taken_at(rereads, clock, 100 * SECOND_US)) == ["A"]


@given(st.lists(st.sampled_from("ABCDEF")))
def test_no_more_wait_than_there_is_room_for(wanted):
    clock, rereads = made(capacity=3)
    for ticker in wanted:
        rereads.want(ticker)
    assert set(taken_at(rereads, clock, SOON_US)) == set(list(dict.fromkeys(wanted))[:3])
