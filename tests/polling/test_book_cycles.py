from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.polling.book_cycles import STRIDES, BookClass, BookCycles, PollingPart, book_class, intervals_of, part_of
from app.settings import Settings

INTERVALS = {BookClass.TWO_SIDED: 60, BookClass.ONE_SIDED: 900, BookClass.COMBO: 900}
NUMBERS = {which: number for number, which in enumerate(BookClass)}


def tickers_of(**counts):
    """So many markets of each class, with names that tell it."""
    return {BookClass[name]: [f"{name}-{number}" for number in range(count)] for name, count in counts.items()}


def cycles_over(tickers, intervals=INTERVALS):
    return BookCycles(intervals, lambda which: iter(tickers.get(which, [])), bool)


def class_of(batch):
    (name,) = {ticker.split("-")[0] for ticker in batch}
    return BookClass[name]


def poll(cycles, now_seconds):
    """One request that is answered at once. Return its markets."""
    chosen = cycles.next_batch(now_seconds)
    if chosen is not None:
        cycle, batch = chosen
        cycle.done(batch)
    cycles.ended(now_seconds)
    return [] if chosen is None else batch


def poll_all(cycles, now_seconds):
    polled = []
    while batch := poll(cycles, now_seconds):
        polled += batch
    return polled


def requests(cycles, seconds, each_seconds):
    """As many as the budget allows, which is one at a time."""
    now_seconds, polled = 0.0, []
    while now_seconds < seconds:
        if batch := poll(cycles, now_seconds):
            polled.append((now_seconds, batch))
        now_seconds += each_seconds
    return polled


def test_each_book_is_polled_once_in_its_interval():
    tickers = tickers_of(TWO_SIDED=150, ONE_SIDED=250, COMBO=120)
    cycles = cycles_over(tickers)
    assert sorted(poll_all(cycles, 0)) == sorted(chain(*tickers.values()))
    assert (poll_all(cycles, 59), cycles.idle_seconds(50)) == ([], 10)
    assert sorted(poll_all(cycles, 60)) == sorted(tickers[BookClass.TWO_SIDED])
    assert len(poll_all(cycles, 900)) == 520


@given(st.tuples(*[st.integers(0, 300)] * 3), st.tuples(*[st.integers(1, 100)] * 3))
def test_whatever_there_is_to_poll_and_however_often_each_book_comes_once_a_cycle(counts, intervals):
    tickers = tickers_of(**{which.name: count for which, count in zip(BookClass, counts, strict=True)})
    cycles = cycles_over(tickers, dict(zip(BookClass, intervals, strict=True)))
    assert sorted(poll_all(cycles, 0)) == sorted(chain(*tickers.values()))
    assert cycles.idle_seconds(0) == min(intervals)


def test_when_all_have_more_than_the_budget_allows_each_gets_its_share():
    cycles = cycles_over(tickers_of(TWO_SIDED=60_000, ONE_SIDED=60_000, COMBO=60_000))
    polled = Counter(class_of(batch) for _, batch in requests(cycles, 100, 1))
    share = sum(1 / stride for stride in STRIDES.values())
    assert all(abs(polled[which] - 100 / stride / share) <= 1 for which, stride in STRIDES.items())


def test_who_had_nothing_to_poll_for_a_while_has_saved_up_no_turns():
    tickers = tickers_of(ONE_SIDED=100_000)
    cycles = cycles_over(tickers)
    requests(cycles, 500, 1)
    tickers |= tickers_of(TWO_SIDED=100_000)
    polled = Counter(class_of(poll(cycles, 500 + number)) for number in range(30))
    assert polled[BookClass.ONE_SIDED] >= 9


def test_with_the_smallest_budget_every_book_but_combos_is_polled_within_a_quarter_of_an_hour():
    """200 tokens a second, of which one of three gatherers and the deduplicator has a quarter: five requests a second, a
    hundred books each. 95,000 markets, a third of them with two sides, and a million combos."""
    cycles = cycles_over(tickers_of(TWO_SIDED=30_000, ONE_SIDED=65_000, COMBO=1_000_000))
    last, longest = {}, Counter()
    for now_seconds, batch in requests(cycles, 2_000, 0.2):
        which = class_of(batch)
        longest[which] = max(longest[which], now_seconds - last.get(batch[0], now_seconds))
        last[batch[0]] = now_seconds
    assert longest[BookClass.TWO_SIDED] <= 120
    assert 0 < longest[BookClass.ONE_SIDED] <= 910


def test_gatherers_that_divide_the_books_poll_each_once():
    tickers = [f"KXTEST-{number}" for number in range(1_000)]
    holders = [
        [part.number for part in (PollingPart(1, 3), PollingPart(2, 3), PollingPart(3, 3)) if part.holds(each)]
        for each in tickers
    ]
    assert all(len(numbers) == 1 for numbers in holders)
    assert min(Counter(number for (number,) in holders).values()) > 250
    assert all(map(PollingPart().holds, tickers))


def test_the_class_of_a_book():
    assert book_class("KXMVESPORTS-1", may_be_two_sided=True) is BookClass.COMBO
    assert book_class("KXTEST-1", may_be_two_sided=True) is BookClass.TWO_SIDED
    assert book_class("KXTEST-1", may_be_two_sided=False) is BookClass.ONE_SIDED


def test_the_settings_name_the_part_and_the_pace():
    settings = Settings(gatherers=3, poll_part=2, poll_seconds=30, poll_quiet_seconds=600)
    assert part_of(settings) == PollingPart(2, 3)
    assert intervals_of(settings) == {BookClass.TWO_SIDED: 30, BookClass.ONE_SIDED: 600, BookClass.COMBO: 600}
    assert part_of(Settings()) == PollingPart()
    with pytest.raises(SettingsError, match="no such share"):
        part_of(Settings(gatherers=3, poll_part=4))
