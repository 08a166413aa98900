from hypothesis import given
from hypothesis import strategies as st

from app.registry.rereads import BACK_OFF_US, CONFIRMING_US, SECOND_US, SOON_US, Rereads


def everything(rereads, now_us=10**12):
    return rereads.take(now_us, 1_000)


def test_what_was_announced_is_read_soon_and_again_behind_the_cache():
    rereads = Rereads("markets")
    rereads.want("A", 0)
    rereads.want("A", 1)
    assert rereads.take(SOON_US - 1, 10) == {}
    taken = rereads.take(SOON_US, 10)
    assert list(taken) == ["A"]
    rereads.settle(taken, {"A"}, SOON_US)
    assert rereads.take(SOON_US + CONFIRMING_US - 1, 10) == {}
    last = rereads.take(SOON_US + CONFIRMING_US, 10)
    rereads.settle(last, {"A"}, 0)
    assert len(rereads) == 0


def test_one_that_is_not_found_is_asked_for_less_and_less_often_and_then_left():
    rereads, now_us, waits = Rereads("markets"), 0, []
    rereads.want("A", now_us)
    while len(rereads):
        (taken,) = [everything(rereads)]
        due_us = taken["A"].due_us
        waits.append((due_us - now_us) // SECOND_US)
        now_us = due_us
        rereads.settle(taken, set(), now_us)
    assert waits == [SOON_US // SECOND_US, *(back_off // SECOND_US for back_off in BACK_OFF_US)]


def test_what_happens_while_it_is_read_is_read_again():
    rereads = Rereads("markets")
    rereads.want("A", 0)
    taken = rereads.take(SOON_US, 10)
    rereads.want("A", SOON_US)
    rereads.settle(taken, {"A"}, SOON_US)
    assert list(rereads.take(2 * SOON_US, 10)) == ["A"]


def test_what_could_not_be_asked_for_is_kept():
    rereads = Rereads("markets")
    rereads.want("A", 0)
    rereads.put_back(everything(rereads), 0)
    assert list(everything(rereads)) == ["A"]


@given(st.lists(st.sampled_from("ABCDEF")))
def test_no_more_wait_than_there_is_room_for(wanted):
    rereads = Rereads("markets", capacity=3)
    for ticker in wanted:
        rereads.want(ticker, 0)
    assert set(everything(rereads)) == set(list(dict.fromkeys(wanted))[:3])
