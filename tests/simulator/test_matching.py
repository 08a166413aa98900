from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from app.simulator.check.matcher import Extra, Matcher
from app.simulator.check.report import Findings

# Keys: the ticker, the milliseconds, and what happened, such as a price. Few of each, so that many are equal.
KEYS = st.tuples(st.sampled_from("AB"), st.integers(0, 2), st.integers(0, 2))


def timeless(key):
    return (key[0], *key[2:])


def same_moment(key):
    return key[:2]


def judged(expected, rows, delivered=None, untimed=()):
    """`expected`: the keys of changes by their ordinals; `rows`: keys with their nth."""
    ordinals, found = defaultdict(list), defaultdict(list)
    for ordinal, key in enumerate(expected):
        ordinals[key].append(ordinal)
    for key, nth in rows:
        found[key].append(nth)
    reached = set(range(len(expected)) if delivered is None else delivered)
    matcher = Matcher(Findings("table"), reached, timeless, [Extra(*row) for row in untimed])
    matcher.group(ordinals, found)
    known = {timeless(key) for key in expected}
    matcher.resolve(known, (same_moment,), lambda groups: [len(reached & set(group)) for group in groups])
    return matcher.findings


def rows_of(keys):
    counts = Counter()
    for key in keys:
        yield key, counts[key]
        counts[key] += 1


def verdict(findings):
    return {
        what: count
        for what in ("lost", "duplicated", "unexpected", "altered", "unfillable")
        if (count := getattr(findings, what))
    }


@given(st.lists(KEYS, max_size=20))
def test_a_perfect_recording_is_clean(keys):
    findings = judged(keys, rows_of(keys))
    assert verdict(findings) == {}
    assert (findings.expected, findings.found) == (len(keys), len(keys))


@given(st.lists(KEYS, min_size=1, max_size=20), st.data())
def test_a_missing_row_is_lost_if_it_was_delivered_and_a_hole_if_not(keys, data):
    rows = list(rows_of(keys))
    missing = data.draw(st.sampled_from(rows))
    rows.remove(missing)
    assert verdict(judged(keys, rows)) == {"lost": 1}
    of_the_key = [ordinal for ordinal, key in enumerate(keys) if key == missing[0]]
    rest = set(range(len(keys))) - set(of_the_key)
    assert verdict(judged(keys, rows, delivered=rest)) == {"unfillable": 1}


@given(st.lists(KEYS, max_size=20))
def test_without_any_row_everything_is_lost(keys):
    assert judged(keys, []).lost == len(keys)


@given(st.lists(KEYS, min_size=1, max_size=20), st.data())
def test_a_row_too_many_is_duplicated(keys, data):
    key = data.draw(st.sampled_from(keys))
    assert verdict(judged(keys, [*rows_of(keys), (key, keys.count(key))])) == {"duplicated": 1}
    at_another_time = (key[0], 9, *key[2:])
    assert verdict(judged(keys, [*rows_of(keys), (at_another_time, 0)])) == {"duplicated": 1}


@given(st.lists(KEYS, max_size=20))
def test_a_row_of_what_never_happened_is_unexpected(keys):
    assert verdict(judged(keys, [*rows_of(keys), (("C", 0, 0), 0)])) == {"unexpected": 1}


@given(st.lists(KEYS, min_size=1, max_size=20), st.data())
def test_a_row_that_says_something_else_is_altered(keys, data):
    rows = list(rows_of(keys))
    place = data.draw(st.integers(0, len(rows) - 1))
    (ticker, at_ms, _), _nth = rows[place]
    rows[place] = ((ticker, at_ms, 99), 0)
    assert verdict(judged(keys, rows)) == {"altered": 1}


@given(st.lists(KEYS, max_size=20), st.data())
def test_a_row_without_a_time_stands_for_its_change_at_whatever_time(keys, data):
    rows = list(rows_of(keys))
    chosen = data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else []
    timed = [row for row in rows if row not in chosen]
    # When it was received, long after everything.
    untimed = [((key[0], 10**6, *key[2:]), nth) for key, nth in chosen]
    findings = judged(keys, timed, untimed=untimed)
    assert verdict(findings) == {}
    assert findings.found == len(keys)


def test_a_row_without_a_time_beside_the_one_that_has_it_is_duplicated():
    key = ("A", 1, 5)
    assert verdict(judged([key], [(key, 0)], untimed=[(("A", 999, 5), 0)])) == {"duplicated": 1}


def test_a_row_without_a_time_of_what_never_happened_is_unexpected():
    assert verdict(judged([], [], untimed=[(("A", 999, 5), 0)])) == {"unexpected": 1}


def test_what_was_found_but_never_delivered_is_fine():
    """A trade may come by REST, long after nobody was sent it."""
    assert verdict(judged([("A", 1, 5)], [(("A", 1, 5), 0)], delivered=())) == {}
