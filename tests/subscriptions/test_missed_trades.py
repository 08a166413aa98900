from hypothesis import given, strategies

from app.subscriptions.journal import Gap, MissedTrades, before_the_first

RUN_ID = 1_000


def gap(conn, number, started_us, ended_us):
    return Gap(RUN_ID, number, conn, started_us, ended_us, -1, -1, None, "trade", "disconnected")


def begun(first_us=RUN_ID, second_us=RUN_ID):
    missed = MissedTrades((3, 4), RUN_ID)
    missed.add(before_the_first(RUN_ID, 3, first_us))
    missed.add(before_the_first(RUN_ID, 4, second_us))
    return missed


def test_a_gap_of_one_connection_is_heard_by_the_other():
    missed = begun()
    assert missed.add(gap(3, 1, 2_000, None)) == []
    assert missed.add(gap(3, 1, 2_000, 3_000)) == []


def test_what_neither_heard_is_told_as_soon_as_one_is_back():
    missed = begun()
    missed.add(gap(3, 1, 2_000, None))
    missed.add(gap(4, 2, 2_500, None))
    assert missed.add(gap(4, 2, 2_500, 3_000)) == [(2_500, 3_000)]
    assert missed.add(gap(3, 1, 2_000, 9_000)) == [(2_500, 3_000)]


def test_before_its_first_subscription_a_connection_hears_nothing():
    missed = MissedTrades((3, 4), RUN_ID)
    assert missed.add(before_the_first(RUN_ID, 4, 1_500)) == [(1_000, 1_500)]
    assert missed.add(gap(4, 1, 1_600, 1_700)) == [(1_600, 1_700)]


moments = strategies.lists(strategies.integers(RUN_ID + 1, RUN_ID + 60), unique=True, max_size=12).map(sorted)


@given(moments, moments)
def test_exactly_what_neither_heard_is_told(of_first, of_second):
    """Between moments at which a connection goes and comes back by turns."""
    missed, told, away = begun(), set(), {3: None, 4: None}
    unheard = {3: set(), 4: set()}
    events = sorted([(at_us, 3) for at_us in of_first] + [(at_us, 4) for at_us in of_second])
    ends = [(10_000, conn) for conn, moments in ((3, of_first), (4, of_second)) if len(moments) % 2]
    for number, (at_us, conn) in enumerate(events + ends, start=1):
        if away[conn] is None:
            away[conn] = gap(conn, number, at_us, None)
            intervals = missed.add(away[conn])
        else:
            unheard[conn] |= set(range(away[conn].started_us, at_us))
            intervals = missed.add(away[conn]._replace(ended_us=at_us))
            away[conn] = None
        for interval in intervals:
            told |= set(range(*interval))
    assert told == unheard[3] & unheard[4]
