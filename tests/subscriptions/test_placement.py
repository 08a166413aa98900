import itertools

from hypothesis import given, strategies

from app.subscriptions.placement import BLOCKS, LARGEST_BLOCK, Placement

CONNS = (7, 8, 9)
NAMES = ("one", "two", "three")


def test_markets_go_to_whoever_has_least():
    placement = Placement(CONNS)
    placement.place(f"A-{number}" for number in range(30))
    for ticker in ("A-0", "A-1", "A-2", "A-3"):
        placement.remove(ticker)
    placement.place(f"B-{number}" for number in range(34))
    loads = [placement.load(conn) for conn in CONNS]
    assert (sum(loads), max(loads) - min(loads) <= 3) == (60, True)


def test_a_market_that_has_a_place_gets_no_second():
    placement = Placement(CONNS)
    (home,) = placement.place(["A"])
    assert placement.place(["A"]) == {}
    assert placement.connection_of("A") == home


def test_nothing_goes_where_the_exchange_has_no_room():
    placement = Placement((7, 8), capacity=3)
    placement.place(["A", "B", "C", "D"])
    placement.mark_full(7)
    assert {conn: len(tickers) for conn, tickers in placement.place(["E", "F"]).items()} == {8: 1}
    assert (placement.unplaced, len(placement)) == (1, 6)
    placement.remove("A")
    assert sum(len(tickers) for tickers in placement.place_unplaced().values()) == 1
    assert placement.unplaced == 0


def test_where_there_may_be_room_again_those_without_a_place_go():
    placement = Placement((7,), capacity=3)
    placement.place(["A"])
    placement.mark_full(7)
    assert placement.place(["B", "C", "D"]) == {}
    placement.mark_not_full(7)
    assert {conn: len(tickers) for conn, tickers in placement.place_unplaced().items()} == {7: 2}
    assert (placement.unplaced, placement.load(7)) == (1, 3)


def test_while_nobody_has_room_those_without_a_place_are_not_looked_at():
    placement = Placement(CONNS, capacity=1)
    placement.place(f"A-{number}" for number in range(100))

    class Unread(dict):
        def __iter__(self):
            raise AssertionError("each of them is looked at")

    placement._unplaced = Unread(placement._unplaced)
    assert placement.place_unplaced() == {}


def test_nothing_goes_to_a_connection_that_is_given_up():
    placement = Placement(CONNS)
    placement.mark_unusable(7)
    placement.mark_unusable(8)
    assert set(placement.place(["A", "B"])) == {9}
    placement.mark_usable(7)
    assert set(placement.place(["C", "D"])) == {7}


def test_markets_that_come_together_are_asked_for_with_few_commands_on_several_sockets():
    placement = Placement(range(7, 151))
    for first in range(0, 10_000, 1_000):
        placed = placement.place(f"A-{number}" for number in range(first, first + 1_000))
        assert len(placed) == BLOCKS
        assert {len(tickers) for tickers in placed.values()} == {LARGEST_BLOCK}
    assert len(placement.place(f"B-{number}" for number in range(30))) == BLOCKS


def test_markets_that_share_a_socket_of_one_gatherer_share_none_of_the_others():
    """All are told of the same markets, together and in the same order."""
    placements = [Placement(range(7, 67), name) for name in NAMES]
    tickers = [f"A-{number}" for number in range(12_000)]
    for first in range(0, len(tickers), 1_000):
        for placement in placements:
            placement.place(tickers[first : first + 1_000])
    # One socket in 60 by chance: markets that any two of them have on sockets of the same number.
    for one, other in itertools.combinations(placements, 2):
        alike = sum(one.connection_of(ticker) == other.connection_of(ticker) for ticker in tickers)
        assert alike < 3 * len(tickers) / 60
    # Two that are neighbours at one are hardly ever at another.
    together = [ticker for ticker in tickers if placements[0].connection_of(ticker) == 7]
    homes = [placements[1].connection_of(ticker) for ticker in together]
    assert max(homes.count(conn) for conn in set(homes)) < len(together) / 4


@given(strategies.lists(strategies.tuples(strategies.integers(0, 9), strategies.booleans())))
def test_every_wanted_market_is_in_one_place(wishes):
    placement, wanted = Placement(CONNS, capacity=2), set()
    for number, is_wanted in wishes:
        ticker = f"A-{number}"
        if is_wanted:
            wanted.add(ticker)
            placement.place([ticker])
        else:
            wanted.discard(ticker)
            placement.remove(ticker)
        placement.place_unplaced()
        assert len(placement) == len(wanted)
        assert sum(placement.load(conn) for conn in CONNS) == min(len(wanted), 6)
        assert max(placement.load(conn) for conn in CONNS) <= 2


def test_one_that_becomes_full_keeps_nobody_from_the_others():
    placement = Placement((7, 8))
    placement.place(f"A-{number}" for number in range(20))
    placement.mark_full(7)
    gone = next(f"A-{number}" for number in range(20) if placement.connection_of(f"A-{number}") == 7)
    placement.remove(gone)
    placed = placement.place(f"B-{number}" for number in range(10))
    assert {conn: len(tickers) for conn, tickers in placed.items()} == {7: 1, 8: 9}
    assert placement.unplaced == 0
