"""What one gatherer alone has of a second."""

from hypothesis import given
from hypothesis import strategies as st

from app.merge.overlap import compare_second, events_alone
from app.normalize.values import SECOND_US
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.storage import rows

SECOND = rows.NOON_US // SECOND_US
EVENTS = st.frozensets(st.sampled_from("abcdefgh"))


@given(st.dictionaries(st.sampled_from(["one", "two", "three"]), EVENTS))
def test_events_are_counted_as_sets_are(heard):
    alone = events_alone(heard)
    assert alone.events == len(frozenset().union(*heard.values()))
    for gatherer, events in heard.items():
        others = frozenset().union(*(each for name, each in heard.items() if name != gatherer))
        assert alone.by_gatherer[gatherer] == len(events - others)


def test_a_second_is_compared_without_what_has_no_time_and_what_is_not_in_it(gatherers):
    def record(name, *written):
        writer = CopyWriter(ORDERBOOK_DELTAS, gatherers[name])
        writer.write(written)
        writer.close()

    untimed = rows.delta(clock=4)
    untimed = (*untimed[:8], True, *untimed[9:])
    record("a", rows.delta(clock=1), rows.delta(clock=2), rows.delta(clock=3, at_us=rows.NOON_US + SECOND_US))
    record("b", rows.delta(clock=1), untimed, rows.delta(clock=5, at_us=rows.NOON_US + SECOND_US - 1))
    compared = compare_second(gatherers, SECOND)
    assert compared["orderbook_deltas"] == (3, {"a": 1, "b": 1, "c": 0})
    assert compared["trades"] == (0, {"a": 0, "b": 0, "c": 0})
