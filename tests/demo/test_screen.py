from app.demo.screen import Sample, shown

BEFORE = Sample(
    100.0,
    {"one": {"kalshi_messages_total": 1_000, "kalshi_rows_stored_total": 500}, "two": {"kalshi_messages_total": 9_000}},
    {"kalshi_merge_rows_new_total": 100},
)


def lines(**others):
    now = {"at_seconds": 102.0, "gatherers": BEFORE.gatherers, "deduplicator": BEFORE.deduplicator}
    return list(shown(BEFORE, Sample(**now | others)))


def test_counters_are_shown_as_rates():
    one = {"kalshi_messages_total": 1_600, "kalshi_rows_stored_total": 900}
    assert "300 messages/s      200 rows/s" in lines(gatherers={**BEFORE.gatherers, "one": one})[0]


def test_one_that_began_anew_has_no_rate_rather_than_a_negative_one():
    assert " 0 messages/s" in lines(gatherers={**BEFORE.gatherers, "two": {"kalshi_messages_total": 5}})[1]


def test_one_that_does_not_answer_is_away():
    assert lines(gatherers={**BEFORE.gatherers, "one": {}})[0].split() == ["one", "away"]
    assert lines(deduplicator={})[-1].split() == ["production", "away"]


def test_the_age_of_what_is_known_is_shown():
    metrics = {"kalshi_coverage_known_until_timestamp_seconds": 99.0, "kalshi_coverage_hole_markets": 7}
    last = lines(deduplicator=metrics)[-1]
    assert "known up to    3 s ago" in last
    assert "7 books with holes" in last
