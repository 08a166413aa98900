from hypothesis import given, strategies

from app.subscriptions.placement import Placement

CONNS = (7, 8, 9)


def test_markets_go_to_whoever_has_least():
    placement = Placement(CONNS)
    placement.place(f"A-{number}" for number in range(30))
    for ticker in ("A-0", "A-1", "A-2", "A-3"):
        placement.remove(ticker)
    placement.place(f"B-{number}" for number in range(34))
    assert [placement.load(conn) for conn in CONNS] == [20, 20, 20]


def test_a_market_that_has_a_place_gets_no_second():
    placement = Placement(CONNS)
    (home,) = placement.place(["A"])
    assert placement.place(["A"]) == {}
    assert placement.home_of("A") == home


def test_nothing_goes_where_the_exchange_has_no_room():
    placement = Placement((7, 8), capacity=3)
    placement.place(["A", "B", "C", "D"])
    placement.is_full(7)
    assert placement.place(["E", "F"]) == {8: ["E"]}
    assert (placement.homeless, len(placement)) == (1, 6)
    placement.remove("A")
    assert [ticker for tickers in placement.place_homeless().values() for ticker in tickers] == ["F"]
    assert placement.homeless == 0


def test_nothing_goes_to_a_connection_that_is_given_up():
    placement = Placement(CONNS)
    placement.give_up(7)
    placement.give_up(8)
    assert set(placement.place(["A", "B"])) == {9}
    placement.count_on(7)
    assert set(placement.place(["C", "D"])) == {7}


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
        placement.place_homeless()
        assert len(placement) == len(wanted)
        assert sum(placement.load(conn) for conn in CONNS) == min(len(wanted), 6)
        assert max(placement.load(conn) for conn in CONNS) <= 2
