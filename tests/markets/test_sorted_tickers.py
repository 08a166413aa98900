import random

from hypothesis import given
from hypothesis import strategies as st

from app.markets.store import RUN_LENGTH, SortedTickers

names = st.text("ABC", min_size=1, max_size=3)


@given(st.lists(st.tuples(st.booleans(), names)), st.none() | names, st.integers(1, 10))
def test_a_page_is_what_follows_in_order(steps, after, limit):
    tickers, expected = SortedTickers(), set()
    for is_added, name in steps:
        (tickers.add if is_added else tickers.discard)(name)
        (expected.add if is_added else expected.discard)(name)
    assert tickers.page(after, limit) == [name for name in sorted(expected) if after is None or name > after][:limit]
    assert (list(tickers), len(tickers)) == (sorted(expected), len(expected))


def test_many_come_and_go_in_any_order():
    names = [f"T{number:05}" for number in range(10 * RUN_LENGTH)]
    tickers, chance = SortedTickers(), random.Random(1)
    for name in chance.sample(names, len(names)):
        tickers.add(name)
    assert list(tickers) == names
    for name in chance.sample(names, len(names)):
        if name.endswith("7"):
            continue
        tickers.discard(name)
    assert list(tickers) == [name for name in names if name.endswith("7")]


def test_what_stays_is_met_once_while_others_come_and_go():
    names = [f"T{number:05}" for number in range(3 * RUN_LENGTH)]
    tickers = SortedTickers()
    for name in names:
        tickers.add(name)
    met = []
    for name in tickers:
        met.append(name)
        if len(met) % 3 == 0:
            tickers.discard(name)
            tickers.add(f"{name}-more")
    assert [name for name in met if "-" not in name] == names
