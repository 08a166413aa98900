from app.coverage.evidence import BOOKS, LIFECYCLE, TRADES, WHOLE_EXCHANGE
from app.demo.summary import Subject, TrueHole, by_subject, declared_since, true_holes, undeclared
from app.simulator.market.changes import SimDelta, SimLifecycle, SimTrade
from app.simulator.market.lifecycle import SILENT

BOOK_A, BOOK_B = Subject(BOOKS, "A"), Subject(BOOKS, "B")


def delta(at_us, market=0):
    return SimDelta(at_us, market, at_us, True, 500_000, 100)


def trade(at_us):
    return SimTrade(at_us, 0, f"trade-{at_us}", 500_000, 100, True, False)


def holes_of(changes, delivered, since_us=0):
    return sorted(true_holes(changes, delivered, "AB".__getitem__, since_us))


def test_changes_that_nobody_got_one_after_the_other_are_one_hole():
    changes = [delta(at_us) for at_us in (10, 20, 30, 40, 50)]
    assert holes_of(changes, {0, 3}) == [TrueHole(BOOK_A, 20, 30), TrueHole(BOOK_A, 50, 50)]


def test_markets_have_holes_of_their_own():
    changes = [delta(10), delta(11, market=1), delta(12), delta(13, market=1)]
    assert holes_of(changes, {1, 3}) == [TrueHole(BOOK_A, 10, 12)]


def test_a_trade_that_was_delivered_ends_the_hole_of_all_trades():
    assert holes_of([trade(10), trade(20), delta(25), trade(30)], {1, 2}) == [
        TrueHole(Subject(TRADES, WHOLE_EXCHANGE), 10, 10),
        TrueHole(Subject(TRADES, WHOLE_EXCHANGE), 30, 30),
    ]


def test_what_happened_before_anybody_was_to_listen_is_no_hole():
    assert holes_of([delta(10), delta(20)], set(), since_us=15) == [TrueHole(BOOK_A, 20, 20)]


def test_what_the_exchange_never_says_is_no_hole():
    said, unsaid = (SimLifecycle(10, "A", what, "created", {}) for what in (LIFECYCLE, SILENT))
    assert holes_of([unsaid], set()) == []
    assert holes_of([said], set()) == [TrueHole(Subject(LIFECYCLE, WHOLE_EXCHANGE), 10, 10)]


def test_a_hole_is_declared_by_an_interval_that_holds_all_of_it():
    hole = TrueHole(BOOK_A, 10, 20)
    assert undeclared([hole], {BOOK_A: ((10, 21),)}) == []
    for too_little in (((10, 20),), ((11, 21),), ((10, 15), (16, 21))):
        assert undeclared([hole], {BOOK_A: too_little}) == [hole]
    assert undeclared([hole], {BOOK_B: ((0, 100),)}) == [hole]


def test_declared_holes_count_from_when_everybody_listened():
    assert declared_since({BOOK_A: ((0, 10), (10, 20)), BOOK_B: ((30, 40),)}, since_us=10) == 2


def test_rows_are_gathered_by_subject():
    rows = [(BOOKS, "A", 1, 2), (TRADES, "", 3, 4), (BOOKS, "A", 5, 6)]
    assert by_subject(rows) == {BOOK_A: [(1, 2), (5, 6)], Subject(TRADES, ""): [(3, 4)]}
