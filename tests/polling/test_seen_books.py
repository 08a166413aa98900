import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from app.polling.books import HOUR_US, SeenBooks
from tests.polling.books import YES, row_of
from tests.storage.rows import NOON_US

DAY_US = 24 * HOUR_US


def seen_after(row):
    seen = SeenBooks()
    seen.note(row[4], row)
    return seen


def hours_until_full(ticker, first_us=NOON_US):
    seen = seen_after(row_of(ticker, first_us))
    return next(hour for hour in range(1, 99) if not seen.holds(row_of(ticker, first_us + hour * HOUR_US)))


def test_a_book_that_was_never_seen_is_not_held():
    assert not SeenBooks().holds(row_of())


@given(st.integers(0, 999).map("KXTEST-{}".format), st.integers(0, 10 * DAY_US))
def test_an_unchanged_book_is_held_and_stored_in_full_again_within_a_day(ticker, after_us):
    seen = seen_after(row_of(ticker, NOON_US + after_us))
    assert seen.holds(row_of(ticker, NOON_US + after_us))
    assert hours_until_full(ticker, NOON_US + after_us) <= 24


def test_markets_are_not_all_stored_in_full_in_the_same_hour():
    assert {hours_until_full(f"KXTEST-{number}") for number in range(500)} == set(range(1, 25))


def test_a_changed_book_is_not_held_nor_the_same_levels_on_the_other_side():
    seen = seen_after(row_of(yes=YES, no=[]))
    assert not seen.holds(row_of(yes=[["0.4200", "14.00"]], no=[]))
    assert not seen.holds(row_of(yes=[], no=YES))


def test_another_markets_equal_book_is_not_held():
    assert not seen_after(row_of("KXTEST-1")).holds(row_of("KXTEST-2"))


def test_two_sided_may_be_what_had_levels_on_both_when_last_seen_or_was_never_seen():
    sides = {"both": {}, "yes": {"no": []}, "no": {"yes": []}, "none": {"yes": [], "no": []}}
    seen = SeenBooks()
    for ticker, levels in sides.items():
        seen.note(ticker, row_of(ticker, **levels))
    assert [ticker for ticker in (*sides, "never seen") if seen.may_be_two_sided(ticker)] == ["both", "never seen"]
    seen.note("both", row_of("both", no=[]))
    assert not seen.may_be_two_sided("both")


def test_a_forgotten_market_is_stored_in_full_again():
    seen = seen_after(row_of())
    seen.forget("KXTEST-1")
    seen.forget("KXTEST-1")
    assert (seen.holds(row_of()), len(seen)) == (False, 0)


def test_a_market_costs_a_hundred_bytes():
    tickers = [f"KXTEST-{number}" for number in range(100_000)]
    row, seen = row_of(), SeenBooks()
    tracemalloc.start()
    try:
        for ticker in tickers:
            seen.note(ticker, row)
        assert tracemalloc.get_traced_memory()[0] / len(tickers) < 120
    finally:
        tracemalloc.stop()
