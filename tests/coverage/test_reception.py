from hypothesis import given
from hypothesis import strategies as st

from app.coverage.evidence import (
    BOOKS,
    TRADES,
    HeardGap,
    HeardLoss,
    HeardRun,
    HeardSocket,
    HeardSubscription,
    Reception,
)
from app.coverage.hours import REST, CoverageState, judge_books, judge_channel
from app.coverage.intervals import union

TICKS = range(25)
BOUND = st.integers(0, len(TICKS))
OPEN = st.none() | BOUND
RUNS = st.dictionaries(
    st.builds(HeardRun, st.sampled_from("abc"), st.integers(1, 2)), st.tuples(BOUND, BOUND), max_size=4
)
SOCKETS = st.builds(HeardSocket, st.builds(HeardRun, st.sampled_from("abc"), st.integers(1, 2)), st.integers(7, 8))
SUBSCRIPTIONS = st.lists(st.builds(HeardSubscription, SOCKETS, BOUND, OPEN), max_size=6)
GAPS = st.lists(st.builds(HeardGap, SOCKETS, st.sampled_from([None, BOOKS, TRADES]), BOUND, OPEN), max_size=6)


def lasts(start, end, tick):
    return start <= tick and (end is None or tick < end)


def is_heard(tick, channel, runs, subscriptions, gaps):
    """At one moment, by the words of the journal's tables."""
    return any(
        subscription.socket.run in runs
        and lasts(*runs[subscription.socket.run], tick)
        and lasts(subscription.started_us, subscription.ended_us, tick)
        and not any(
            gap.socket == subscription.socket
            and gap.channel in {None, channel}
            and lasts(gap.started_us, gap.ended_us, tick)
            for gap in gaps
        )
        for subscription in subscriptions
    )


def ticks(intervals):
    return {tick for start, end in intervals for tick in range(start, end)}


@given(RUNS, SUBSCRIPTIONS, GAPS, BOUND, BOUND)
def test_a_hole_is_every_tick_of_a_market_s_life_that_nobody_heard(runs, subscriptions, gaps, opens, closes):
    judgement = judge_books((opens, closes), subscriptions, Reception(runs, gaps))
    unheard = {tick for tick in range(opens, closes) if not is_heard(tick, BOOKS, runs, subscriptions, gaps)}
    assert ticks(judgement.holes) == unheard
    assert judgement.state is (CoverageState.HOLE if unheard else CoverageState.COMPLETE)


@given(RUNS, SUBSCRIPTIONS, GAPS, st.lists(st.tuples(BOUND, BOUND), max_size=3))
def test_what_was_fetched_is_repaired_where_nobody_heard_it(runs, subscriptions, gaps, fetched):
    judgement = judge_channel((0, len(TICKS)), TRADES, subscriptions, Reception(runs, gaps), union(fetched))
    unheard = {tick for tick in TICKS if not is_heard(tick, TRADES, runs, subscriptions, gaps)}
    assert ticks(judgement.repaired) == unheard & ticks(fetched)
    assert ticks(judgement.holes) == unheard - ticks(fetched)
    whole = CoverageState.REPAIRED if unheard else CoverageState.COMPLETE
    assert judgement.state is (CoverageState.HOLE if unheard - ticks(fetched) else whole)
    assert judgement.repaired_by == ((REST,) if judgement.repaired else ())


def listening(gatherer, gaps, conn=7):
    socket = HeardSocket(HeardRun(gatherer, 1), conn)
    return HeardSubscription(socket, 0, None), [HeardGap(socket, None, *gap) for gap in gaps]


def test_of_three_gatherers_with_different_gaps_the_hole_is_exactly_what_they_have_in_common():
    heard = [listening("a", [(10, 40)]), listening("b", [(20, 60)]), listening("c", [(5, 25), (30, 90)])]
    subscriptions = [subscription for subscription, _ in heard]
    hearing = Reception(
        {subscription.socket.run: (0, 100) for subscription in subscriptions},
        [gap for _, gaps in heard for gap in gaps],
    )
    judgement = judge_books((0, 100), subscriptions, hearing)
    assert judgement.holes == ((20, 25), (30, 40))
    assert judgement.repaired_by == ("a", "c")


def test_two_sockets_of_a_gatherer_hear_for_each_other():
    (first, gaps), (second, others) = listening("a", [(10, 40)]), listening("a", [(40, 60)], conn=8)
    hearing = Reception({first.socket.run: (0, 100)}, [*gaps, *others])
    assert judge_books((0, 100), [first, second], hearing).state is CoverageState.COMPLETE


def test_what_one_gatherer_heard_and_was_lost_another_one_may_have():
    (first, _), (second, gaps) = listening("a", []), listening("b", [(30, 60)])
    runs = {subscription.socket.run: (0, 100) for subscription in (first, second)}
    lost = [HeardLoss("a", BOOKS, 0, 40), HeardLoss("b", TRADES, 0, 100)]
    assert judge_books((0, 100), [first, second], Reception(runs, gaps, lost)).holes == ((30, 40),)
