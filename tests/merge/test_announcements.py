"""Which copies are one event: the same whatever came first, and for the deduplicator as for the lake."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lake import announcements as lake
from app.merge.announcements import AnnouncementCopy, changes_of, events_of
from app.storage.tables import PRODUCTION_LIFECYCLE_EVENTS
from tests.gatherers import execute
from tests.storage.rows import NOON_US

SECOND_US = 1_000_000


def heard(gatherer, *seconds):
    """What one gatherer told apart."""
    return [AnnouncementCopy(NOON_US + round(at * SECOND_US), gatherer, nth, NOON_US) for nth, at in enumerate(seconds)]


def seconds(events):
    return [[(each.at_us - NOON_US) / SECOND_US for each in event] for event in events]


def test_copies_within_seconds_are_one_event():
    assert seconds(events_of([*heard("a", 0), *heard("b", 4), *heard("c", 5)])) == [[0, 4, 5]]
    assert seconds(events_of([*heard("a", 0), *heard("b", 5.1)])) == [[0], [5.1]]


def test_what_one_gatherer_told_apart_are_several_however_near():
    assert seconds(events_of(heard("a", 0, 0, 0.1))) == [[0], [0], [0.1]]


def test_who_missed_the_first_brings_a_copy_of_the_nearest():
    assert seconds(events_of([*heard("a", 0, 4), *heard("b", 4.1, 8.2), *heard("c", 0.1)])) == [
        [0, 0.1],
        [4, 4.1],
        [8.2],
    ]


def test_the_two_connections_of_a_gatherer_tell_the_same_event_by_its_number():
    again = [copy._replace(at_us=copy.at_us + 300_000) for copy in heard("a", 0, 1)]
    assert seconds(events_of([*heard("a", 0, 1), *again])) == [[0, 0.3], [1, 1.3]]


def test_what_a_gatherer_tells_once_more_is_no_copy_of_what_another_told_meanwhile():
    again = [copy._replace(at_us=copy.at_us + 300_000) for copy in heard("a", 0)]
    copies = [*heard("a", 0, 0.4), *again, *heard("b", 0, 0.2)]
    assert seconds(events_of(copies)) == [[0, 0, 0.3], [0.2, 0.4]]


copies = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(0, 120), min_size=1, max_size=4).map(sorted), min_size=1
).map(lambda told: [copy for name, at in told.items() for copy in heard(name, *(tenth / 10 for tenth in at))])


def apply(changes, stored):
    """As production does. A key is there once."""
    rows = {(row.at_us, row.nth): row for row in stored}
    for row in changes.withdrawn:
        del rows[row.at_us, row.nth]
    for row in changes.grown:
        assert (row.at_us, row.nth) in rows
        rows[row.at_us, row.nth] = row
    for row in changes.new:
        assert (row.at_us, row.nth) not in rows
        rows[row.at_us, row.nth] = row
    return sorted(rows.values())


@settings(max_examples=300, deadline=None)
@given(copies.flatmap(st.permutations), st.lists(st.integers(1, 5), max_size=12))
def test_in_whatever_order_and_however_often_copies_come_in_the_events_are_those_of_all(copies, parts):
    stored, waiting = [], list(copies)
    for count in (*parts, len(copies)):
        staged, waiting = waiting[:count], waiting[count:]
        stored = apply(changes_of(staged, stored), stored)
        assert changes_of(staged, stored) == ([], [], [])
    assert sorted(sorted(row.copies) for row in stored) == sorted(map(sorted, events_of(copies)))
    # An event's time is that of one of its copies, whoever had it first.
    assert all(row.at_us == row.copies[0].at_us for row in stored)


@settings(max_examples=300, deadline=None)
@given(copies)
def test_the_lake_finds_the_same_events(copies):
    names = ["exchange_ts", "received_at", "digest", "nth", "ticker", "event_type", "payload", "gatherer"]
    rows = [(copy.at_us, NOON_US, 1, copy.nth, "A", "deactivated", "{}", copy.gatherer) for copy in copies]
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    found = lake.events_of(table)
    assert sorted(found["exchange_ts"].to_pylist()) == sorted(event[0].at_us for event in events_of(copies))
    assert len(set(zip(found["exchange_ts"].to_pylist(), found["nth"].to_pylist(), strict=True))) == len(found)
    assert found.column_names == list(PRODUCTION_LIFECYCLE_EVENTS.column_names)


def row(at, nth, conn=5):
    at_us = NOON_US + round(at * SECOND_US)
    return (at_us, at_us, 7, nth, "A", "deactivated", b"{}", conn, 1, 1)


def times(production):
    found = execute(production, "SELECT extract(epoch FROM exchange_ts) FROM lifecycle_events ORDER BY 1")
    return [float(at) - NOON_US / SECOND_US for (at,) in found]


def test_equal_announcements_at_any_distance_are_as_many_as_there_were(recordings, production):
    """One gatherer heard the second alone, an equal one nearly a minute after the first; the others heard both."""
    recording = recordings("lifecycle_events")
    recording.record("a", [row(0, 0), row(55, 1)])
    recording.record("b", [row(55.01, 0)])
    recording.record("c", [row(0.2, 0), row(55.3, 1)])
    recording.catch_up()
    assert len(times(production)) == 2


def test_a_later_copy_tells_apart_what_seemed_to_be_one(recordings, production):
    recording = recordings("lifecycle_events")
    recording.record("a", [row(0, 0)])
    recording.record("b", [row(1.2, 0)])
    recording.catch_up()
    assert times(production) == [0]
    recording.record("c", [row(0.1, 0), row(1.3, 1)])
    recording.catch_up()
    assert len(times(production)) == 2


def test_an_announcement_that_was_merged_before_copies_were_kept_is_there_once(recordings, production):
    recording = recordings("lifecycle_events")
    recording.record("a", [row(0, 0)])
    recording.catch_up()
    execute(production, "UPDATE lifecycle_events SET copies = NULL")
    recording.record("b", [row(1.2, 0)])
    recording.record("c", [row(1.1, 0)])
    recording.catch_up()
    assert times(production) == [0]


def test_an_hour_of_the_lake_with_an_event_that_turned_out_to_be_a_copy_is_written_anew(recordings, production):
    recording = recordings("lifecycle_events")
    for name, at, nth in (("a", 8.4, 1), ("a", 4, 0), ("c", 2.2, 1), ("b", 9.1, 2), ("b", 5.5, 1), ("b", 4.4, 0)):
        recording.record(name, [row(at, nth)])
        recording.round(name)
    assert times(production) == pytest.approx([4, 8.4, 9.1])
    execute(
        production,
        "INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, verified_at) "
        "SELECT 'lifecycle_events', date_bin('1 hour', min(exchange_ts), 'epoch'), 99, 1, '', now() FROM lifecycle_events",
    )
    recording.record("c", [row(1, 0)])
    recording.catch_up()
    # The second of the first gatherer and the third of the second one are one, since both had told one before.
    assert times(production) == pytest.approx([1, 4, 8.4])
    assert execute(production, "SELECT through_ingest_id, verified_at FROM exports") == [(0, None)]
