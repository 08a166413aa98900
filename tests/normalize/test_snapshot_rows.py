import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.normalize.snapshots import confirmation_row, rest_snapshot_row
from app.normalize.values import UnfitMessageError
from app.storage.tables import ORDERBOOK_SNAPSHOTS
from tests.normalize.frames import RECEIVED_US, SENT_MS, TICKER, contracts, dollars, frame, snapshot
from tests.normalize.reading import read, refused

YES = [(80_000, 30_000), (220_000, 33_300)]
NO = [(540_000, 2_000)]
SIDES = st.dictionaries(st.integers(0, 1_000_000), st.integers(1, 10**12), max_size=8).map(lambda d: sorted(d.items()))


def rest_row(yes, no):
    book = {
        "yes_dollars": [[dollars(price), contracts(size)] for price, size in yes],
        "no_dollars": [[dollars(price), contracts(size)] for price, size in no],
    }
    return rest_snapshot_row(json.dumps({"ticker": TICKER, "orderbook_fp": book}).encode(), RECEIVED_US)


def named(row):
    return dict(zip(ORDERBOOK_SNAPSHOTS.column_names, row, strict=True))


def test_a_book_becomes_a_row():
    row = read(snapshot(YES, NO, id=5))
    assert row.pop("levels_digest") == -3550501642695281725
    assert row == {
        "snapshot_ts": SENT_MS * 1_000,
        "received_at": RECEIVED_US,
        "clock": 7,
        "ticker": TICKER,
        "source": "ws",
        "yes_prices_e6": [80_000, 220_000],
        "yes_sizes_e2": [30_000, 33_300],
        "no_prices_e6": [540_000],
        "no_sizes_e2": [2_000],
        "conn": 9,
        "sid": 2,
        "seq": 1,
    }


def test_a_side_that_is_absent_is_empty():
    row = read(snapshot(no=NO))
    assert (row["yes_prices_e6"], row["yes_sizes_e2"], row["no_prices_e6"]) == ([], [], [540_000])
    assert read(snapshot())["no_sizes_e2"] == []


@pytest.mark.parametrize(
    "sides",
    [
        {"yes": [[8, 300], [22, 333]], "no": [[54, 20]]},
        {"yes": [[8, 300], [22, 333]], "yes_dollars": [["0.0800", 300], ["0.2200", 333]], "no_dollars": [["0.54", 20]]},
    ],
)
def test_the_older_wire_s_book_is_the_same_without_a_clock_and_a_time(sides):
    row = read(frame("orderbook_snapshot", {"market_ticker": TICKER, **sides}, sending_ts_ms=None))
    assert row == read(snapshot(YES, NO)) | {"clock": -1, "snapshot_ts": RECEIVED_US}


@pytest.mark.parametrize(
    "sides",
    [
        {"yes": [[8, 300], [22, 333]], "no": [[54, 20]]},
        {"yes_dollars": [["0.0800", 300], ["0.22", 333]], "no_dollars": [["0.54", 20]], "yes": None, "no": None},
        {"yes": [[22, 333], [8, 300]], "yes_dollars": [["0.2200", 333], ["0.0800", 300]], "no": [[54, 20]]},
    ],
)
def test_the_older_wire_s_book_of_rest_is_the_same(sides):
    content = json.dumps({"ticker": TICKER, "orderbook": sides}).encode()
    assert rest_snapshot_row(content, RECEIVED_US) == rest_row(YES, NO)


@pytest.mark.parametrize("book", [{"orderbook": {"yes": [[8.5, 1]]}}, {"orderbook": {"yes": [["8", 1]]}}, {}])
def test_an_older_book_of_rest_that_does_not_fit_is_refused(book):
    with pytest.raises(UnfitMessageError):
        rest_snapshot_row(json.dumps({"ticker": TICKER, **book}).encode(), RECEIVED_US)


@given(SIDES, SIDES, st.randoms())
def test_a_book_has_one_digest_whichever_way_it_came(yes, no, chance):
    mixed = list(yes)
    chance.shuffle(mixed)
    streamed, polled = read(snapshot(mixed, no)), named(rest_row(yes, no))
    lineage = {"source": "rest", "clock": -1, "snapshot_ts": RECEIVED_US, "conn": -1, "sid": -1, "seq": -1}
    assert polled == streamed | lineage


@given(SIDES, SIDES, SIDES, SIDES)
def test_other_books_have_other_digests(yes, no, other_yes, other_no):
    digests = {named(rest_row(*sides))["levels_digest"] for sides in ((yes, no), (other_yes, other_no))}
    assert len(digests) == (1 if (yes, no) == (other_yes, other_no) else 2)


def test_a_level_on_the_other_side_makes_another_book():
    assert named(rest_row(YES, []))["levels_digest"] != named(rest_row([], YES))["levels_digest"]


def test_a_confirmation_keeps_the_digest_and_no_levels():
    row = rest_row(YES, NO)
    none = dict.fromkeys(("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2"))
    assert named(confirmation_row(row)) == named(row) | none


@pytest.mark.parametrize("level", [["0.1234567", "1.00"], ["0.5", "0.001"], ["0.5"], [0.5, "1.00"]])
def test_a_book_with_one_level_that_does_not_fit_is_refused(level):
    refused(frame("orderbook_snapshot", {"market_ticker": TICKER, "clock": 1, "yes_dollars_fp": [level]}))


@pytest.mark.parametrize("book", [{"yes_dollars": [["0.5", "0.001"]]}, {"yes_dollars": [[1, 2]]}, None])
def test_a_book_of_rest_that_does_not_fit_is_refused_too(book):
    with pytest.raises(UnfitMessageError):
        rest_snapshot_row(json.dumps({"ticker": TICKER, "orderbook_fp": book}).encode(), RECEIVED_US)


OTHER_NAMES = {"yes_levels": [["0.0800", "300.00"]], "no_levels": []}


def test_a_book_whose_sides_have_other_names_is_not_taken_for_an_empty_one():
    body = {"market_ticker": TICKER, "clock": 7, **OTHER_NAMES}
    assert "yes_levels" in refused(frame("orderbook_snapshot", body))


@pytest.mark.parametrize("book", ["orderbook", "orderbook_fp"])
def test_nor_is_one_of_rest(book):
    with pytest.raises(UnfitMessageError, match="yes_levels"):
        rest_snapshot_row(json.dumps({"ticker": TICKER, book: OTHER_NAMES}).encode(), RECEIVED_US)
    empty = rest_snapshot_row(json.dumps({"ticker": TICKER, book: {"yes_dollars": [], "at": [], "n": 1}}).encode(), 1)
    assert named(empty)["yes_prices_e6"] == []
