from msgspec import Raw

from app.normalize.snapshots import NO_LEVELS, confirmation_row
from app.polling.books import SeenBooks, polled_books, rows_to_store
from tests.polling.books import answered, row_of
from tests.storage.rows import NOON_US


def polled(asked, books, seen=None):
    return polled_books(asked, books, seen or SeenBooks(), NOON_US)


def test_new_books_are_stored_in_full_and_unchanged_ones_confirmed():
    seen = SeenBooks()
    seen.note("KXTEST-1", row_of("KXTEST-1"))
    both = polled(["KXTEST-1", "KXTEST-2"], [answered("KXTEST-1"), answered("KXTEST-2")], seen)
    confirmed, full = rows_to_store(both)
    assert (confirmed, full) == (confirmation_row(row_of("KXTEST-1")), row_of("KXTEST-2"))
    assert confirmed[6:10] == NO_LEVELS
    assert both.rows == [row_of("KXTEST-1"), row_of("KXTEST-2")]


def test_an_empty_book_is_a_book_and_counted():
    empty = polled(["KXTEST-1"], [answered(yes=[], no=[])])
    assert (len(empty.changed), empty.empty) == (1, 1)


def test_a_book_that_no_row_can_hold_goes_to_quarantine_as_it_came_and_the_others_stay():
    bad = answered("KXTEST-1", yes=[["0.12345678", "1.00"]])
    result = polled(["KXTEST-1", "KXTEST-2"], [bad, answered("KXTEST-2")])
    assert [row[4] for row in result.rows] == ["KXTEST-2"]
    assert result.unfit == [(NOON_US, "orderbook_snapshots", "0.12345678 has more than 6 decimals", bytes(bad))]
    assert result.missing == 0


def test_no_book_is_invented_for_a_market_that_was_not_asked_for_or_came_twice():
    result = polled(["KXTEST-1"], [answered("KXTEST-1"), answered("KXTEST-1"), answered("KXTEST-2")])
    assert (len(result.rows), len(result.unfit)) == (1, 2)


def test_a_market_without_an_answer_is_missing():
    assert polled(["KXTEST-1", "KXTEST-2"], [answered("KXTEST-2")]).missing == 1


def test_what_is_no_book_at_all_goes_to_quarantine():
    assert len(polled(["KXTEST-1"], [Raw(b'{"ticker":5}')]).unfit) == 1
