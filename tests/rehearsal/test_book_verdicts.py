"""What is made of books: the stream's own, REST's, and what tickers say of them."""

import json

import pytest

from app.kalshi.messages import Ticker
from app.normalize.snapshots import rest_snapshot_row
from app.rehearsal import book_verdicts as judge
from app.rehearsal.socket_record import rows_of
from tests.normalize.frames import NOON_MS, RECEIVED_US, TICKER, contracts, delta, dollars, snapshot, ticker
from tests.rehearsal.records import evidence_of, heard, recorded

SECOND_US = 1_000_000
YES, NO = [(450_000, 30_000)], [(470_000, 15_000)]  # of NO at 47 cents: YES is asked for 53
CHANGE = {"price_e6": 450_000, "delta_e2": -10_000, "clock": 8, "seq": 2, "ts_ms": NOON_MS + 5_000}
AFTER = [(450_000, 20_000)]


def first_book(**changes):
    return snapshot(YES, NO, **{"clock": 7, "sending_ts_ms": NOON_MS, **changes})


def polled(yes, no, seconds=10):
    levels = {
        f"{side}_dollars": [[dollars(price), contracts(size)] for price, size in side_levels]
        for side, side_levels in (("yes", yes), ("no", no))
    }
    content = json.dumps({"ticker": TICKER, "orderbook_fp": levels}).encode()
    asked_us = RECEIVED_US + seconds * SECOND_US
    return judge.Poll(asked_us, asked_us + SECOND_US, [rest_snapshot_row(content, asked_us)])


def quoted(**changes):
    told = {
        "yes_bid_dollars": "0.4500",
        "yes_bid_size_fp": "200.00",
        "yes_ask_dollars": "0.5300",
        "yes_ask_size_fp": "150.00",
        "ts_ms": NOON_MS + 5_000,
        **changes,
    }
    return rows_of(heard(ticker(**told)), Ticker)


def states(*frames):
    return {TICKER: list(judge.states_of(heard(*frames)))}


def test_a_book_with_its_changes_is_the_next_one():
    said = heard(first_book(), delta(**CHANGE), snapshot(AFTER, NO, clock=8, seq=3))
    assert evidence_of(judge.books_rebuild([said])) == ("yes", "1 of 1 books")


@pytest.mark.parametrize("later", [(YES, NO), (AFTER, [])], ids=["a change too many", "a level missing"])
def test_a_book_that_does_not_come_out_is_told(later):
    said = heard(first_book(), delta(**CHANGE), snapshot(*later, clock=8, seq=3))
    assert evidence_of(judge.books_rebuild([said])) == ("no", f"0 of 1 books; not {TICKER} at 1 levels")


def test_a_change_that_comes_after_a_book_which_holds_it_is_noticed():
    said = heard(first_book(), delta(**{**CHANGE, "clock": 7}))
    assert judge.snapshot_in_order([said]).answer.value == "no"
    said = heard(first_book(), delta(**CHANGE), snapshot(AFTER, NO, clock=8, seq=3))
    assert judge.snapshot_in_order([said]).answer.value == "yes"


def test_a_market_begins_with_its_book():
    sound, early = recorded(first_book(), delta(**CHANGE)), recorded(delta(**CHANGE), first_book())
    assert judge.snapshot_first([sound], [TICKER]).answer.value == "yes"
    assert judge.snapshot_first([early], [TICKER]).answer.value == "no"
    assert judge.snapshot_first([sound], [TICKER, "SILENT"]).evidence.startswith("1 of 2 books; not SILENT")


@pytest.mark.parametrize(
    ("book", "answer"), [((YES, NO), "yes"), ((AFTER, NO), "yes"), (([], NO), "no"), ((YES, YES), "no")]
)
def test_rest_s_book_is_one_that_the_stream_told_around_then(book, answer):
    before, after = states(first_book(), delta(**CHANGE))[TICKER]
    known = {TICKER: [before, after._replace(received_us=RECEIVED_US + 8 * SECOND_US)]}
    assert judge.books_match_rest(known, [polled(*book)]).answer.value == answer


def test_what_the_book_had_long_been_before_is_no_match():
    known = states(first_book(), delta(**CHANGE))
    assert judge.books_match_rest(known, [polled(YES, NO)]).answer.value == "no"


def test_a_poll_from_before_the_first_book_is_not_compared():
    assert judge.books_match_rest(states(first_book()), [polled(YES, NO, seconds=1)]).answer.value == "not judged"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "yes"),
        ({"yes_bid_size_fp": "300.00"}, "yes"),  # before the change of the same millisecond
        ({"yes_bid_size_fp": "100.00"}, "no"),
        ({"yes_ask_dollars": "0.4700"}, "no"),  # NO levels in prices of YES
    ],
)
def test_tickers_are_compared_with_the_book_of_their_millisecond(changes, answer):
    known = states(first_book(), delta(**CHANGE))
    assert judge.books_match_tickers(known, quoted(**changes)).answer.value == answer


def test_a_side_without_orders_has_no_price_whatever_the_ticker_says():
    known = states(snapshot(YES, [], clock=7, sending_ts_ms=NOON_MS), delta(**CHANGE))
    said = quoted(yes_ask_dollars="1.0000", yes_ask_size_fp="0.00")
    assert judge.books_match_tickers(known, said).answer.value == "yes"


def test_a_few_tickers_in_a_thousand_may_differ():
    known = states(first_book(), delta(**CHANGE))
    right, wrong = quoted(), quoted(yes_bid_size_fp="1.00")
    assert judge.books_match_tickers(known, right * 199 + wrong).answer.value == "yes"
    assert judge.books_match_tickers(known, right * 19 + wrong).answer.value == "no"
