from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.rest_client import BOOKS_PER_CALL
from app.polling.book_cycles import Cycle

TICKERS = st.lists(st.integers(0, 999).map("KXTEST-{}".format), unique=True, max_size=400)


def cycle_over(tickers, is_active=bool):
    return Cycle(tickers, is_active, started_seconds=10)


def walk(cycle):
    while batch := cycle.next_batch():
        cycle.done(batch)
        yield batch


def in_order(cycle):
    return [ticker for batch in walk(cycle) for ticker in batch]


@given(TICKERS, st.data())
def test_each_market_that_stays_active_comes_once_whatever_comes_and_goes(tickers, data):
    active, stayed = set(tickers), set(tickers)
    some = st.sets(st.sampled_from(tickers or ["KXNONE"]), max_size=60)
    polled = []
    cycle = Cycle(list(tickers), lambda ticker: ticker in active, 0)
    for batch in walk(cycle):
        polled += batch
        gone = data.draw(some)
        active -= gone
        stayed -= gone
        active |= data.draw(some) | {"KXNEW"}
    assert len(polled) == len(set(polled))
    assert stayed <= set(polled) <= set(tickers)


def test_a_market_that_is_no_longer_active_when_its_turn_comes_is_left_out():
    tickers = [f"KXTEST-{number}" for number in range(150)]
    active = set(tickers)
    cycle = cycle_over(tickers, is_active=active.__contains__)
    first = cycle.next_batch()
    active.remove(tickers[120])
    assert (first, cycle.next_batch()) == (tickers[:100], [*tickers[100:120], *tickers[121:]])


def test_batches_are_as_large_as_a_request_allows():
    sizes = [len(batch) for batch in walk(cycle_over([f"KXTEST-{number}" for number in range(250)]))]
    assert sizes == [BOOKS_PER_CALL, BOOKS_PER_CALL, 50]


def test_it_ends_once_and_only_when_the_last_request_is_answered():
    cycle = cycle_over([f"KXTEST-{number}" for number in range(150)])
    first, second = cycle.next_batch(), cycle.next_batch()
    cycle.done(second)
    assert (cycle.next_batch(), cycle.has_more, cycle.ends(11)) == ([], False, False)
    cycle.done(first)
    assert (cycle.ends(12), cycle.ends(13), cycle.ended_seconds, cycle.markets) == (True, False, 12, 150)


def test_without_markets_it_ends_at_once():
    cycle = cycle_over([])
    assert (cycle.has_more, cycle.next_batch(), cycle.ends(11)) == (True, [], True)
