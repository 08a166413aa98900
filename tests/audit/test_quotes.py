"""Books against quotes: what a quote states must be possible within its millisecond, and is disbelieved otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.quotes import AuditQuote, Change, QuotedBook

AT_US = 1_793_534_400_123_000
MILLISECOND_US = 1_000
YES, NO = True, False


def quote(bid=(400_000, 500), ask=(600_000, 700), at_us=AT_US):
    return AuditQuote(at_us, *bid, *ask)


def book(*levels):
    return QuotedBook(AT_US, levels or [(YES, 400_000, 500), (YES, 390_000, 90), (NO, 400_000, 700)])


def change(delta_e2, price_e6=400_000, yes_side=YES, at_us=AT_US):
    return Change(at_us, yes_side, price_e6, delta_e2)


def found(differences):
    return [(each.yes_side, each.price_e6, each.rebuilt_e2, each.seen_e2) for each in differences]


def test_a_quote_that_states_both_best_levels_agrees():
    assert book().contradictions(quote(), []) == []


@pytest.mark.parametrize(
    ("stated", "differs"),
    [
        (quote(bid=(400_000, 400)), [(YES, 400_000, 500, 400)]),
        (quote(bid=(390_000, 90)), [(YES, 400_000, 500, 0)]),
        (quote(bid=(410_000, 50)), [(YES, 410_000, 0, 50)]),
        (quote(bid=(0, 0)), [(YES, 400_000, 500, 0), (YES, 390_000, 90, 0)][::-1]),
        (quote(ask=(590_000, 10)), [(NO, 410_000, 0, 10)]),
        (quote(ask=(1_000_000, 0)), [(NO, 400_000, 700, 0)]),
    ],
)
def test_what_differs_is_named_by_its_level(stated, differs):
    assert found(book().contradictions(stated, [])) == differs


def test_a_quote_that_does_not_speak_of_a_side_says_nothing_about_it():
    assert book().contradictions(quote(bid=(None, None), ask=(None, None)), []) == []


@pytest.mark.parametrize(("bid", "differs"), [((400_000, None), 0), ((390_000, None), 1), ((410_000, None), 1)])
def test_of_the_older_wire_only_the_price_is_compared(bid, differs):
    assert len(book().contradictions(quote(bid=bid, ask=(600_000, None)), [])) == differs


@pytest.mark.parametrize("size_e2", [500, 600, 700, 650, 550, 450])
def test_any_state_within_the_millisecond_is_possible(size_e2):
    moving = [change(100), change(100), change(-50)]
    assert book().contradictions(quote(bid=(400_000, size_e2)), moving) == []


@pytest.mark.parametrize("size_e2", [501, 800, 400])
def test_no_other_state_is(size_e2):
    moving = [change(100), change(100), change(-50)]
    assert len(book().contradictions(quote(bid=(400_000, size_e2)), moving)) == 1


def test_a_level_that_is_emptied_within_the_millisecond_may_be_gone_or_not():
    moving = [change(-500)]
    assert book().contradictions(quote(), moving) == []
    assert book().contradictions(quote(bid=(390_000, 90)), moving) == []
    assert found(book().contradictions(quote(bid=(380_000, 9)), moving)) == [
        (YES, 390_000, 90, 0),
        (YES, 380_000, 0, 9),
    ]


def test_hundreds_of_changes_at_once_cost_no_more_than_a_bound():
    moving = [change(3**number) for number in range(600)]
    assert book().contradictions(quote(bid=(400_000, 501)), moving) == []


def test_a_time_in_whole_seconds_covers_its_second():
    assert quote().end_us == AT_US + MILLISECOND_US
    whole_us = AT_US - AT_US % 1_000_000
    assert quote(at_us=whole_us).end_us == whole_us + 1_000_000


PRICES = st.sampled_from([100_000, 200_000, 300_000])
STEPS = st.lists(st.tuples(st.booleans(), PRICES, st.integers(-3, 3).map(lambda n: 100 * n)), min_size=1, max_size=30)


def best(sizes):
    price_e6 = max((price for price, size_e2 in sizes.items() if size_e2), default=0)
    return (price_e6, sizes.get(price_e6, 0))


@given(steps=STEPS, data=st.data())
def test_a_quote_of_any_moment_agrees_wherever_milliseconds_cut_the_history(steps, data):
    """Changes in some order, some of them in one millisecond, and a quote between any two of them."""
    sizes = {YES: {}, NO: {}}
    stated = data.draw(st.integers(0, len(steps)))
    done = []
    quoted = None
    for number in range(len(steps) + 1):
        if number == stated:
            quoted = best(sizes[YES]), best(sizes[NO])
        if number == len(steps):
            break
        yes_side, price_e6, delta_e2 = steps[number]
        delta_e2 = max(delta_e2, -sizes[yes_side].get(price_e6, 0))
        sizes[yes_side][price_e6] = sizes[yes_side].get(price_e6, 0) + delta_e2
        done.append(change(delta_e2, price_e6, yes_side))
    start, end = data.draw(st.integers(0, stated)), data.draw(st.integers(stated, len(steps)))
    followed = QuotedBook(AT_US)
    followed.apply(done[:start], AT_US)
    (bid, size_e2), (no_bid, no_size_e2) = quoted
    stated = quote((bid, size_e2), (1_000_000 - no_bid, no_size_e2))
    moving = data.draw(st.permutations(done[start:end]))
    assert followed.contradictions(stated, moving) == []
