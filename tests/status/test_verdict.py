"""The sentence, for any state of the platform: it claims no more than is known, and says what is wrong."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.status.verdict import (
    HOUR,
    SKIPPED_MAX,
    FailingCursor,
    GathererFacts,
    KnownHour,
    Level,
    Outage,
    StatusFacts,
    Stretch,
    age_words,
    complete_stretch,
    duration_words,
    known_stretch,
    verdict_of,
)

NOW = datetime(2026, 11, 21, 15, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)
UNIT_SECONDS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


def ago(age):
    return None if age is None else NOW - age


def gatherer(name="gatherer-1a", recorded=SECOND, delivered=SECOND, contacted=SECOND, has_ended=False):
    """A gatherer by how long ago it recorded, delivered and was read."""
    return GathererFacts(name, *map(ago, (recorded, delivered, contacted)), has_ended=has_ended)


THREE = tuple(gatherer(f"gatherer-1{letter}") for letter in "abc")
HEALTHY = StatusFacts(NOW, THREE, 98_412, Stretch(NOW - timedelta(days=6, hours=4, seconds=1), NOW - SECOND))
OUTAGE = Outage(NOW - timedelta(minutes=20), "trade", "", NOW - timedelta(minutes=9), NOW - timedelta(minutes=8))


def seconds_of(words):
    parts = re.findall(r"([\d.]+) (d|h|min|s)\b", words)
    assert " ".join(f"{count} {unit}" for count, unit in parts) == words
    return sum(float(count) * UNIT_SECONDS[unit] for count, unit in parts)


def test_of_a_healthy_platform_the_sentence_says_all_and_nothing_is_to_be_done():
    verdict = verdict_of(HEALTHY)
    assert (verdict.level, verdict.problem, verdict.remedy, verdict.page) == ("green", None, None, None)
    assert verdict.sentence == (
        "Recording 98,412 markets · 3 of 3 gatherers · complete for 6 d 4 h · proven up to 1.0 s ago · "
        "merged 1.0 s behind"
    )


@pytest.mark.parametrize(
    ("change", "level", "problem"),
    [
        ({"gatherers": ()}, "amber", "No gatherer has delivered anything yet."),
        ({"gatherers": (*THREE[:2], GathererFacts("gatherer-1c"))}, "amber", "gatherer-1c has delivered nothing yet."),
        ({"gatherers": (*THREE[:2], gatherer("c", 9 * HOUR))}, "amber", "c has not recorded for 9 h."),
        ({"gatherers": (*THREE[:2], gatherer("c", has_ended=True))}, "amber", "c has not recorded for 1.0 s."),
        ({"gatherers": tuple(gatherer(name, 2 * HOUR) for name in "abc")}, "red", "No gatherer has recorded for 2 h"),
        ({"gatherers": tuple(gatherer(name, *[HOUR] * 3) for name in "abc")}, "red", "has read no gatherer for 1 h"),
        ({"gatherers": (*THREE[:2], gatherer("c", delivered=HOUR / 4))}, "amber", "Production is 15 min behind."),
        ({"gatherers": (*THREE[:2], gatherer("c", delivered=2 * HOUR))}, "red", "Production is 2 h behind."),
        ({"markets": 0}, "amber", "No gatherer is subscribed to an order book yet."),
        ({"complete": None}, "amber", "Nothing is proven yet."),
        ({"complete": Stretch(NOW - HOUR, NOW - HOUR / 2)}, "amber", "Coverage has not been judged for 30 min."),
        ({"quotes_until": NOW - HOUR / 2}, "amber", "Books have not been compared with quotes for 30 min."),
        ({"outage": OUTAGE}, "amber", "Channel trade was not received from 15:11:00 on, for 60 s."),
        ({"outage": OUTAGE._replace(ticker="KXA")}, "amber", "The book of KXA was not received from 15:11:00 on"),
        ({"outage": OUTAGE._replace(ticker="KXA", markets=12)}, "amber", "12 markets had outages within an hour"),
        (
            {"failing": FailingCursor("c", "trades", "It is away.")},
            "amber",
            "trades of c cannot be merged: It is away.",
        ),
        ({"findings": 2}, "red", "2 rebuilt books differ from the exchange's"),
        ({"failing_exports": 1}, "amber", "1 hour could not be written to the lake."),
        ({"quarantined": 1_234}, "amber", "1,234 rows in quarantine"),
    ],
)
def test_what_is_wrong_is_named_with_what_mends_it(change, level, problem):
    verdict = verdict_of(HEALTHY._replace(**change))
    assert verdict.level == level
    assert problem in verdict.problem
    assert verdict.remedy
    assert verdict.page.startswith("/")


def test_the_worst_is_named_first():
    verdict = verdict_of(HEALTHY._replace(quarantined=1, findings=1, failing_exports=3))
    assert (verdict.level, "rebuilt book differs" in verdict.problem) == ("red", True)


def test_a_hole_at_the_end_of_what_is_known_is_no_completeness():
    complete = Stretch(NOW - SECOND, NOW - SECOND)
    outage = OUTAGE._replace(until=NOW - SECOND)
    verdict = verdict_of(HEALTHY._replace(complete=complete, outage=outage))
    assert "incomplete at 15:19:59" in verdict.sentence
    assert (verdict.level, verdict.complete_since, verdict.proven_until) == ("red", None, NOW - SECOND)


def test_nothing_is_proven_before_books_were_compared_with_quotes():
    compared_until = NOW - timedelta(seconds=30)
    verdict = verdict_of(HEALTHY._replace(quotes_until=compared_until))
    assert verdict.proven_until == compared_until
    assert "proven up to 30 s ago" in verdict.sentence
    assert verdict_of(HEALTHY._replace(quotes_until=NOW)).proven_until == NOW - SECOND


def test_an_old_outage_is_history():
    assert verdict_of(HEALTHY._replace(outage=OUTAGE._replace(until=NOW - 2 * HOUR))).level == "green"


def test_markets_that_just_opened_are_not_passed_over_in_silence():
    verdict = verdict_of(HEALTHY._replace(complete=HEALTHY.complete._replace(has_openings=True)))
    assert (verdict.level, "complete for 6 d 4 h, openings apart" in verdict.sentence) == ("green", True)


spans = st.timedeltas(timedelta(0), timedelta(days=40))
maybe = st.none() | spans
gatherers = st.builds(gatherer, st.sampled_from("abcd"), maybe, maybe, maybe, st.booleans())
stretches = st.builds(
    lambda age, length, openings: Stretch(NOW - age - length, NOW - age, openings), spans, spans, st.booleans()
)
outages = st.builds(
    lambda age, length, ticker, markets: Outage(
        NOW - age - length, "trade", ticker, NOW - age - length, NOW - age, markets
    ),
    *(spans, spans, st.sampled_from(["", "KXA"]), st.integers(1, 10**6)),
)
counts = st.integers(0, 3)
facts = st.builds(
    StatusFacts,
    *(st.just(NOW), st.lists(gatherers, max_size=4), st.integers(0, 10**6), st.none() | stretches),
    *(st.none() | outages, st.none() | st.just(FailingCursor("a", "trades", "why")), counts, counts, counts),
    st.none() | spans.map(lambda age: NOW - age),
)


@given(facts)
def test_the_sentence_claims_no_more_than_is_known(state):
    verdict = verdict_of(state)
    assert (verdict.level == "green") == (verdict.problem is None) == (verdict.remedy is None) == (verdict.page is None)
    assert verdict.gatherers_recording <= verdict.gatherers
    claimed = re.search(r"complete for (.*?)(, openings apart)? · proven up to (.*) ago", verdict.sentence)
    assert bool(claimed) == (verdict.complete_since is not None)
    if claimed:
        known = state.complete.until - state.complete.since
        assert seconds_of(claimed[1]) <= known.total_seconds()
        assert bool(claimed[2]) == state.complete.has_openings
        assert seconds_of(claimed[3]) >= (NOW - state.complete.until).total_seconds()
    if merged := re.search(r"merged (.*) behind", verdict.sentence):
        recording = state.recording() or state.gatherers
        behind = [(NOW - each.delivered_until).total_seconds() for each in recording if each.delivered_until]
        assert seconds_of(merged[1]) >= (max(behind) if state.recording() else min(behind))
    assert verdict.sentence.startswith("Recording" if state.recording() else "Not recording")


@given(facts, st.sampled_from(["findings", "failing_exports", "quarantined"]))
def test_one_trouble_more_never_looks_better(state, name):
    worse = verdict_of(state._replace(**{name: 1}))
    assert Level[worse.level.upper()] >= Level[verdict_of(state._replace(**{name: 0})).level.upper()]
    assert worse.level != "green"


@given(st.floats(0, 10**7))
def test_durations_are_rounded_to_the_safe_side(seconds):
    assert seconds_of(duration_words(seconds)) <= seconds + 1e-6
    assert seconds_of(age_words(seconds)) >= seconds - 1e-6


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.2, "0.2 s"),
        (59.9, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3_600, "1 h"),
        (3_700, "1 h 1 min"),
    ],
)
def test_a_duration_has_the_units_that_suit_it(seconds, words):
    assert duration_words(seconds) == words


def hours(*known_minutes, first=12):
    """Hours from noon on, by how many minutes of each are known."""
    starts = [datetime(2026, 11, 21, first, tzinfo=UTC) + number * HOUR for number in range(len(known_minutes))]
    return [
        KnownHour(start, start + timedelta(minutes=minutes))
        for start, minutes in zip(starts, known_minutes, strict=True)
    ]


def clock(text):
    return datetime.fromisoformat(f"2026-11-21T{text}+00:00")


@pytest.mark.parametrize(
    ("minutes", "since", "until"),
    [
        ((60, 60, 20), "12:00", "14:20"),
        ((60, 60, 0), "12:00", "14:00"),
        ((60, 59, 1), "12:00", "13:59"),
        ((60, 59, 0), "12:00", "13:59"),
        ((0, 60, 20), "13:00", "14:20"),
        ((60, 10, 60, 60, 60), "14:00", "17:00"),
        ((60, 0, 60, 60, 60), "14:00", "17:00"),
        ((20,), "12:00", "12:20"),
        ((0, 20), "13:00", "13:20"),
    ],
)
def test_what_is_known_without_a_break_ends_before_a_late_one_and_begins_after_an_early_one(minutes, since, until):
    assert known_stretch(hours(*minutes)) == Stretch(clock(since), clock(until))


def test_where_nothing_is_known_there_is_no_stretch():
    assert known_stretch([]) is None
    assert known_stretch(hours(0, 0)) is None


def test_a_missing_hour_breaks_the_stretch():
    known = hours(60, 60, 60, 20)
    del known[1]
    assert known_stretch(known) == Stretch(clock("14:00"), clock("15:20"))


@given(st.lists(st.integers(0, 60) | st.just(60), max_size=12))
def test_every_moment_of_the_stretch_is_known(minutes):
    known = hours(*minutes, first=0)
    stretch = known_stretch(known)
    if stretch is None:
        assert all(until == hour for hour, until in known)
        return
    assert stretch.since < stretch.until
    assert stretch.until >= max(until for hour, until in known if until > hour) - SKIPPED_MAX - HOUR
    for hour, until in known:
        if hour < stretch.until and hour + HOUR > stretch.since:
            assert until >= min(stretch.until, hour + HOUR)


@given(spans, spans, maybe)
def test_complete_is_only_what_follows_the_last_hole(age, length, hole_age):
    known = Stretch(NOW - age - length, NOW - age)
    hole_end = None if hole_age is None else NOW - hole_age
    complete = complete_stretch(known, hole_end, has_openings=False)
    assert known.since <= complete.since <= complete.until == known.until
    assert hole_end is None or complete.since >= min(hole_end, known.until)
