"""What is known of completeness goes when it is older than what it is about, and nothing is claimed of what is gone."""

from datetime import timedelta

import pytest

from app.coverage.retention import forget
from app.postgres.connection import connected
from tests.coverage.test_hours import books, market
from tests.gatherers import at, execute, put_market

KEPT = timedelta(days=90)


@pytest.fixture
def judged(coverage):
    for ticker in ("KXTEST-1", "KXTEST-2"):
        put_market(coverage.production, ticker, opens=-60)
    a, b, _ = coverage.gatherers
    a.runs(0, 70, ended=70).listens_to_all(tickers=["KXTEST-1"]).misses(10, 20).misses(30, 31, conn=3)
    a.listens("orderbook_delta", "KXTEST-2", since=0, until=50).listens("trade", since=0, until=5, conn=4)
    b.runs(0, 130).listens("orderbook_delta", "KXTEST-1", since=80)
    a.runs(125, 130, run_id=2)
    coverage.judge(150)
    return coverage


def forgotten(coverage, hours, **limits):
    """When the first so many hours after noon are older than changes are kept."""
    with connected(coverage.production) as connection:
        return forget(connection, at(60 * hours) + KEPT, **limits)


def count(coverage, query):
    return execute(coverage.production, f"SELECT count(*) FROM {query}")[0][0]


def test_of_books_before_the_horizon_nothing_is_said_any_more(judged):
    assert books(judged)[0] == ("hole", [10, 20], ["a"])
    at_the_horizon = books(judged)[60]
    assert at_the_horizon == ("hole", [70, 80], ["b"])
    assert forgotten(judged, 1) > 0
    assert min(books(judged)) == 60
    assert books(judged)[60] == at_the_horizon
    assert market(judged)[0, "trade"] == ("hole", [30, 31], [])
    assert count(judged, "coverage WHERE hour < '2026-11-01 13:00+00' AND ticker <> ''") == 0
    assert forgotten(judged, 1) == 0


def test_hours_before_the_horizon_are_judged_no_more_and_those_after_it_as_before(judged):
    before = market(judged)
    forgotten(judged, 1)
    put_market(judged.production, "KXLATE")
    assert min(judged.judge(150)) == at(60)
    assert {key: told for key, told in before.items() if key[0] >= 60} == {
        key: told for key, told in market(judged).items() if key[0] >= 60
    }


def test_what_reaches_over_the_horizon_is_judged_after_it_as_before(coverage):
    put_market(coverage.production, "KXTEST-1", opens=-60)
    put_market(coverage.production, "KXTEST-2", opens=-60)
    a, *_ = coverage.gatherers
    a.runs(0, 130).listens("orderbook_delta", "KXTEST-1", until=100).listens("orderbook_delta", "KXTEST-2")
    coverage.judge(150)
    refuse = """
        INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
        VALUES (1, 'a', 'orderbook_deltas', 'KXTEST-2', %s, %s)
    """
    execute(coverage.production, refuse, (at(40), at(41)))
    coverage.judge(150)
    before = books(coverage)[60], books(coverage, "KXTEST-2")[60]
    assert before == (("hole", [100, 120], []), ("hole", [60, 120], []))
    forgotten(coverage, 1)
    put_market(coverage.production, "KXLATE")
    assert at(60) in coverage.judge(150)
    assert (books(coverage)[60], books(coverage, "KXTEST-2")[60]) == before


def test_subscriptions_that_ended_long_ago_go_and_those_of_the_whole_exchange_stay(judged):
    assert count(judged, "gatherer_subscriptions") == 7
    forgotten(judged, 1)
    assert execute(judged.production, "SELECT count(*) FROM gatherer_subscriptions WHERE ticker = 'KXTEST-2'") == [(0,)]
    assert count(judged, "gatherer_subscriptions WHERE ticker = 'KXTEST-1'") == 2
    forgotten(judged, 2)
    assert execute(judged.production, "SELECT gatherer FROM gatherer_subscriptions WHERE ticker <> ''") == [("b",)]
    assert count(judged, "gatherer_subscriptions WHERE ticker = ''") == 4


def test_a_run_that_may_go_on_keeps_its_subscriptions_however_long_it_has_been_silent(judged):
    forgotten(judged, 4)
    assert execute(judged.production, "SELECT gatherer FROM gatherer_subscriptions WHERE ticker <> ''") == [("b",)]


def test_a_run_whose_records_are_on_their_way_keeps_its_subscriptions(judged):
    execute(
        judged.production,
        "UPDATE gatherer_runs SET delivered_until = %s WHERE (gatherer, run_id) = ('a', 1)",
        (at(50),),
    )
    forgotten(judged, 1)
    assert count(judged, "gatherer_subscriptions WHERE gatherer = 'a' AND ticker = 'KXTEST-1'") == 1


@pytest.mark.parametrize("rows_at_once", [1, 3])
def test_it_goes_in_parts_until_nothing_is_left(judged, rows_at_once):
    execute(
        judged.production,
        "INSERT INTO quarantine (quarantined_at, reason, payload) SELECT %s, '', i::TEXT::BYTEA FROM generate_series(1, 7) AS i",
        (at(0),),
    )
    forgotten(judged, 2, rows_at_once=rows_at_once)
    assert count(judged, "quarantine") == 0


def test_quarantine_keeps_its_latest_rows(judged):
    query = "INSERT INTO quarantine (reason, payload) SELECT i::TEXT, i::TEXT::BYTEA FROM generate_series(1, 10) AS i"
    execute(judged.production, query)
    forgotten(judged, 0, quarantined=4)
    assert execute(judged.production, "SELECT reason FROM quarantine ORDER BY quarantine_id") == [
        (str(number),) for number in range(7, 11)
    ]


def test_the_horizon_never_goes_back(judged):
    forgotten(judged, 2)
    forgotten(judged, 1)
    assert execute(judged.production, "SELECT books_since FROM coverage_horizon") == [(at(120),)]
