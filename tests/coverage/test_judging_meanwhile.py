"""While an hour is judged, more is learnt, between any two statements: what is claimed is of one moment."""

import itertools

import pytest

from app.coverage.hours import judge_hour, judge_next_hour
from app.postgres.connection import connected
from tests.coverage.conftest import AT_ONCE, PATIENCE
from tests.coverage.test_hours import books, market
from tests.gatherers import at, execute, put_market
from tests.interrupting import Interrupting

HOUR, END = at(0), at(60)


@pytest.fixture
def judged(coverage):
    put_market(coverage.production, "KXTEST-1")
    gatherer = coverage.gatherers[0].runs(0, 60).listens_to_all(tickers=["KXTEST-1"])
    gatherer.misses(10, 20, conn=3, sid=4, channel="trade", number=1)
    coverage.judge(61)
    return coverage


def move(production, since, until, fetched):
    """In one transaction a gap turns out to be another one, and what was fetched by REST too."""
    execute(
        production,
        """
        UPDATE gatherer_gaps SET started_at = %(since)s, ended_at = %(until)s;
        DELETE FROM trade_repairs;
        INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added)
        SELECT '', %(first)s, %(last)s, 'hole', 0, 0 WHERE %(first)s IS NOT NULL
        """,
        {
            "since": at(since),
            "until": at(until),
            "first": fetched and at(fetched[0]),
            "last": fetched and at(fetched[1]),
        },
    )


def judge(production, interruption, statement):
    """Whether the statement was reached."""
    between = Interrupting(interruption, only_before=statement)
    with connected(production) as connection:
        connection.cursor_factory = between.cursor_factory
        judge_hour(connection, HOUR, END)
    return between.interruptions == 1


def judge_again(production):
    with connected(production) as connection:
        while judge_next_hour(connection, at(61), PATIENCE, AT_ONCE).judged:
            continue


def unheard(production):
    query = "SELECT state, (holes + repaired)::TEXT FROM coverage WHERE channel = 'trade'"
    return [(state, bounds[17:19]) for state, bounds in execute(production, query)]


def test_what_is_judged_is_true_of_one_moment(judged):
    for statement in itertools.count(1):
        move(judged.production, 10, 20, None)
        is_reached = judge(judged.production, lambda: move(judged.production, 40, 50, (10, 20)), statement)
        assert unheard(judged.production) in ([("hole", "10")], [("hole", "40")]), statement
        if not is_reached:
            break
        # It was not forgotten either: that is judged next, if it was not yet.
        judge_again(judged.production)
        assert market(judged)[0, "trade"][:2] == ("hole", [40, 50])
    assert statement > 8


def test_a_market_that_is_learnt_of_while_its_hour_is_judged_is_never_called_complete(judged):
    for statement in itertools.count(1):
        execute(judged.production, "DELETE FROM markets WHERE ticker = 'KXLATE'")
        is_reached = judge(judged.production, lambda: put_market(judged.production, "KXLATE"), statement)
        if not is_reached:
            break
        assert books(judged, "KXLATE")[0][0] in {"pending", "hole"}, statement
        judge_again(judged.production)
        assert books(judged, "KXLATE")[0] == ("hole", [0, 60], [])
    assert statement > 8


def test_a_gap_that_is_learnt_of_while_its_hour_is_judged_is_never_covered_up(judged):
    tell = "INSERT INTO gatherer_gaps VALUES ('a', 1, 99, 7, %s, %s, -1, 1, NULL, '', 'disconnected')"
    for statement in itertools.count(1):
        execute(judged.production, "DELETE FROM gatherer_gaps WHERE number = 99")
        is_reached = judge(judged.production, lambda: execute(judged.production, tell, (at(30), at(40))), statement)
        if not is_reached:
            break
        assert books(judged)[0][0] in {"pending", "hole"}, statement
        judge_again(judged.production)
        assert books(judged)[0] == ("hole", [30, 40], ["a"])
    assert statement > 8
