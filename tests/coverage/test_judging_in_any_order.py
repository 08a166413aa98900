"""Whatever is learnt in whichever order: in the end the database says what a naive look at every minute says."""

import random
from operator import itemgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.coverage.evidence import BOOKS, TRADES
from app.coverage.hours import judge_next_hour
from app.postgres.connection import connected
from tests.coverage.conftest import AT_ONCE, PATIENCE
from tests.gatherers import at, moment, put_market

HOURS = (0, 60)
END = 120
MINUTE = st.integers(0, END)
RUN = st.tuples(st.sampled_from("ab"), st.integers(1, 2))
CONN = st.integers(7, 8)
# Often for all of both hours, and from the first minute on: else no socket would ever hear everything.
RUNS = st.dictionaries(
    RUN, st.just((0, END)) | st.tuples(st.integers(0, 50), st.integers(51, END)), min_size=2, max_size=4
)
SINCE, UNTIL = st.just(0) | MINUTE, st.none() | MINUTE
# Which closes as it opens may trade for a second, in which this model, of minutes, does not count.
LIFE = st.tuples(st.none() | MINUTE, st.none() | MINUTE).filter(lambda life: life[0] is None or life[0] != life[1])
BOOKS_HEARD = st.tuples(RUN, CONN, st.just(BOOKS), st.sampled_from(["KX-1", "KX-2"]), SINCE, UNTIL)
TRADES_HEARD = st.tuples(RUN, CONN, st.just(TRADES), st.just(""), SINCE, UNTIL)
SUBSCRIPTIONS = st.lists(BOOKS_HEARD | TRADES_HEARD, min_size=4, max_size=8, unique_by=lambda each: each[:5])
GAPS = st.lists(st.tuples(RUN, CONN, st.sampled_from([None, BOOKS, TRADES]), MINUTE, st.none() | MINUTE), max_size=4)
LIVES = st.fixed_dictionaries({"KX-1": LIFE, "KX-2": LIFE})
JOURNAL = st.tuples(RUNS, SUBSCRIPTIONS, GAPS, LIVES)
TABLES = """
    gatherer_runs, gatherer_subscriptions, gatherer_gaps, markets,
    coverage_hours, coverage_changes, coverage_market_changes, coverage
"""

VIEW = """
    SELECT hour, ticker, channel, (
        SELECT coalesce(array_agg(minute::INTEGER ORDER BY minute), '{}')
        FROM unnest(holes) AS r, LATERAL generate_series(
            extract(epoch FROM lower(r) - %(noon)s) / 60, extract(epoch FROM upper(r) - %(noon)s) / 60 - 1
        ) AS minute
    )
    FROM readable.coverage WHERE channel IN ('orderbook_delta', 'trade')
"""


def lasts(start, end, minute):
    return (start is None or start <= minute) and (end is None or minute < end)


def is_heard(minute, channel, ticker, runs, subscriptions, gaps):
    return any(
        (of_channel, of_ticker) == (channel, ticker)
        and run in runs
        and lasts(*runs[run], minute)
        and lasts(start, end, minute)
        and not any(
            other == (run, conn) and about in {None, channel} and lasts(since, until, minute)
            for *other_run, about, since, until in gaps
            if (other := tuple(other_run))
        )
        for run, conn, of_channel, of_ticker, start, end in subscriptions
    )


def naive(runs, subscriptions, gaps, lives):
    return {
        (hour, ticker, channel): [
            minute
            for minute in range(hour, hour + 60)
            if lasts(*life, minute) and not is_heard(minute, channel, asked, runs, subscriptions, gaps)
        ]
        for ticker, life in lives.items()
        for hour in HOURS
        for channel, asked in ((BOOKS, ticker), (TRADES, ""))
        if any(lasts(*life, minute) for minute in range(hour, hour + 60))
    }


def facts(runs, subscriptions, gaps, lives):
    """Everything that is learnt: whether it is a gap's end, a statement, and its parameters."""
    for run, (_, delivered) in runs.items():
        query = "UPDATE gatherer_runs SET delivered_until = %s WHERE (gatherer, run_id) = %s"
        yield False, query, (at(delivered), run)
    for (gatherer, run_id), conn, channel, ticker, start, end in subscriptions:
        query = "INSERT INTO gatherer_subscriptions VALUES (%s, %s, %s, %s, %s, %s, %s)"
        yield False, query, (gatherer, run_id, at(start), moment(end), conn, channel, ticker)
    for number, ((gatherer, run_id), conn, channel, start, end) in enumerate(gaps):
        query = "INSERT INTO gatherer_gaps VALUES (%s, %s, %s, %s, %s, NULL, %s, 1, NULL, %s, 'sequence')"
        sid = -1 if channel is None else 3
        yield False, query, (gatherer, run_id, number, conn, at(start), sid, channel or "")
        if end is not None:
            yield True, "UPDATE gatherer_gaps SET ended_at = %s WHERE number = %s", (moment(end), number)
    for ticker, (opens, closes) in lives.items():
        query = "UPDATE markets SET open_time = %s, close_time = %s WHERE ticker = %s"
        yield False, query, (moment(opens), moment(closes), ticker)


@pytest.fixture
def connection(production):
    for ticker in ("KX-1", "KX-2"):
        put_market(production, ticker)
    with connected(production) as opened, opened.cursor() as cursor:
        cursor.execute("CREATE TABLE markets_at_first AS SELECT * FROM markets")
        cursor.execute("ALTER TABLE markets_at_first DROP COLUMN ingest_id, DROP COLUMN production_status")
        opened.commit()
        yield opened


def in_any_order(learnt, chance):
    """But that a gap ends after it has begun. What comes last is of any table, of each as often."""
    when, times = 0, []
    for is_ending, *fact in learnt:
        when = chance.uniform(when, 1) if is_ending else chance.random()
        times.append((when, fact))
    ordered = [fact for _, fact in sorted(times, key=itemgetter(0))]
    table = chance.choice(("gatherer_runs", "gatherer_subscriptions", "gatherer_gaps", "markets"))
    last = next((fact for fact in reversed(ordered) if table in fact[0]), ordered[-1])
    return [*(fact for fact in ordered if fact is not last), last]


def begin(connection, runs, lives):
    """Markets are thought to live otherwise than they will turn out to."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES}")
        columns = "ticker, event_ticker, title, status, market_type, updated_at, details"
        cursor.execute(f"INSERT INTO markets ({columns}) SELECT {columns} FROM markets_at_first")
        for ticker, life in lives.items():
            cursor.execute(
                "UPDATE markets SET open_time = %s, close_time = %s WHERE ticker = %s", (*map(moment, life), ticker)
            )
        # Hours are judged from the first run on.
        for gatherer, run_id, start in ([*run, start] for run, (start, _) in [(("c", 9), (0, 0)), *runs.items()]):
            query = "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until) VALUES (%s, %s, %s, %s)"
            cursor.execute(query, (gatherer, run_id, at(start), at(END)))


def judge(connection):
    while judge_next_hour(connection, at(END) + PATIENCE, PATIENCE, AT_ONCE).judged:
        continue


def claimed_too_much(connection, truth):
    """Hours that are called complete, of which somebody knows better by now."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT hour, ticker, channel FROM readable.coverage WHERE state = 'complete'")
        return [row for hour, *row in cursor if truth.get((int((hour - at(0)).total_seconds()) // 60, *row))]


def told(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute(VIEW, {"noon": at(0)})
        return {(int((hour - at(0)).total_seconds()) // 60, *rest): minutes for hour, *rest, minutes in cursor}


@given(journal=JOURNAL, lives=LIVES, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_learning_does_not_matter(connection, journal, lives, seed):
    begin(connection, journal[0], lives)
    *most, last = in_any_order(facts(*journal), random.Random(seed))
    for part in (most, [last]):
        with connection, connection.cursor() as cursor:
            for fact in part:
                cursor.execute(*fact)
        if part == [last]:
            assert not claimed_too_much(connection, naive(*journal))
        judge(connection)
    assert told(connection) == naive(*journal)
