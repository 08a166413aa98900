"""What is not judged, refused or disproved is never called complete."""

from datetime import timedelta

import psycopg2.errors
import pytest

from app.coverage.evidence import HeardPeriod
from app.coverage.hours import judge_next_hour
from app.coverage.queries import exchange_hours
from app.postgres.connection import connected, value_of
from tests.coverage.conftest import AT_ONCE, PATIENCE
from tests.coverage.test_hours import books, exceptions, market
from tests.gatherers import at, execute, put_market

TICKER = "KXTEST-1"
COMPLETE = ("complete", None, [])
PENDING = ("pending", None, [])
FIND = """
    INSERT INTO audit_findings
        (ticker, from_ts, to_ts, from_clock, to_clock, is_explained, differing_levels, levels)
    VALUES (%s, %s, %s, 1, 2, %s, 1, '[]')
"""
REFUSE = """
    INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


@pytest.fixture
def judged(coverage):
    """Two hours that a gatherer heard all of."""
    for ticker in (TICKER, "KXTEST-2"):
        put_market(coverage.production, ticker)
    coverage.gatherers[0].runs(0, 120).listens_to_all(tickers=[TICKER, "KXTEST-2"])
    coverage.judge(121)
    assert books(coverage) == {0: COMPLETE, 60: COMPLETE}
    return coverage


def known_until(coverage):
    return [row[0] for row in execute(coverage.production, "SELECT known_until FROM coverage_known ORDER BY hour")]


def test_hours_of_a_market_that_was_learnt_of_late_are_pending_until_they_are_judged(judged):
    put_market(judged.production, "KXLATE", opens=-30)
    assert list(market(judged, "KXLATE").values()) == 8 * [PENDING]
    assert market(judged)[0, "trade"] == COMPLETE
    judged.judge(121)
    assert books(judged, "KXLATE") == {0: ("hole", [0, 60], []), 60: ("hole", [60, 120], [])}
    assert execute(judged.production, "SELECT count(*) FROM coverage_market_changes") == [(0,)]


def test_a_market_stays_pending_in_the_hours_that_are_not_judged_yet(judged):
    put_market(judged.production, "KXLATE", opens=-30)
    with connected(judged.production) as connection:
        assert judge_next_hour(connection, at(121), PATIENCE, AT_ONCE).judged.hour == at(60)
    assert books(judged, "KXLATE") == {0: PENDING, 60: ("hole", [60, 120], [])}


def test_a_market_whose_life_turns_out_longer_is_pending_there(judged):
    put_market(judged.production, TICKER, closes=30)
    judged.judge(121)
    put_market(judged.production, TICKER, closes=90)
    assert books(judged) == {0: PENDING, 60: PENDING}
    judged.judge(121)
    assert books(judged) == {0: COMPLETE, 60: COMPLETE}


def test_a_gap_that_is_told_late_takes_back_what_was_claimed_since_then_and_nothing_before(judged):
    execute(
        judged.production,
        "INSERT INTO gatherer_gaps VALUES ('a', 1, 99, 7, %s, %s, -1, 1, NULL, '', 'disconnected')",
        (at(70), at(80)),
    )
    assert known_until(judged) == [at(60), at(70)]
    assert books(judged) == {0: COMPLETE, 60: PENDING}
    judged.judge(121)
    assert known_until(judged) == [at(60), at(120)]
    assert books(judged) == {0: COMPLETE, 60: ("hole", [70, 80], ["a"])}


def test_that_more_was_heard_takes_back_nothing(judged):
    judged.gatherers[1].runs(0, 120).listens_to_all(tickers=[TICKER])
    follow_without_judging(judged)
    assert known_until(judged) == [at(60), at(120)]
    assert books(judged)[0] == COMPLETE


def follow_without_judging(coverage):
    with connected(coverage.production) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended('judging coverage', 0))")
        assert coverage.judge(121) == []


def test_the_exchange_s_hours_say_that_they_are_to_be_judged_again(judged):
    lose = "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES ('a', 'trades', %s, %s)"
    execute(judged.production, lose, (at(-90), at(20)))
    with connected(judged.production) as connection:
        first, second = exchange_hours(connection, HeardPeriod(at(0), at(120)))
    assert (first.known_until, first.is_settled) == (at(0), False)
    assert (second.known_until, second.is_settled) == (at(60), False)
    assert market(judged)[0, "ticker"] == PENDING


def test_a_market_whose_end_was_told_has_no_hole_after_it(coverage):
    """Its close was planned for much later, and nobody listens any more."""
    put_market(coverage.production, TICKER, closes=60_000)
    coverage.gatherers[0].runs(0, 120).listens_to_all().listens("orderbook_delta", TICKER, since=0, until=20)
    coverage.judge(121)
    assert books(coverage)[0] == ("hole", [20, 60], [])
    put_market(coverage.production, TICKER, closes=20, status="finalized")
    coverage.judge(121)
    assert books(coverage) == {0: COMPLETE}
    assert exceptions(coverage) == []


def test_a_book_that_the_audit_disproved_is_a_hole_until_the_finding_is_resolved(judged):
    execute(judged.production, FIND, (TICKER, at(20), at(80), False))
    assert books(judged) == {0: PENDING, 60: PENDING}
    assert books(judged, "KXTEST-2") == {0: COMPLETE, 60: COMPLETE}
    judged.judge(121)
    assert books(judged) == {0: ("hole", [20, 60], []), 60: ("hole", [60, 80], [])}
    assert books(judged, "KXTEST-2") == {0: COMPLETE, 60: COMPLETE}
    execute(judged.production, "UPDATE audit_findings SET resolved_at = now()")
    judged.judge(121)
    assert books(judged) == {0: COMPLETE, 60: COMPLETE}


def test_what_is_found_again_is_a_hole_again(judged):
    execute(judged.production, FIND, (TICKER, at(20), at(30), False))
    execute(judged.production, "UPDATE audit_findings SET resolved_at = now()")
    judged.judge(121)
    execute(judged.production, "UPDATE audit_findings SET resolved_at = NULL")
    judged.judge(121)
    assert books(judged)[0] == ("hole", [20, 30], [])


def test_a_finding_that_a_hole_explains_adds_none(judged):
    execute(judged.production, FIND, (TICKER, at(20), at(80), True))
    assert judged.judge(121) == []
    assert books(judged) == {0: COMPLETE, 60: COMPLETE}


def test_a_refused_change_is_not_heard_and_its_market_s_book_is_not_known_for_hours(judged):
    execute(judged.production, REFUSE, (1, "a", "orderbook_deltas", TICKER, at(100), at(101)))
    assert books(judged) == {0: COMPLETE, 60: PENDING}
    judged.judge(121)
    assert books(judged) == {0: COMPLETE, 60: ("hole", [100, 120], [])}
    assert books(judged, "KXTEST-2")[60] == COMPLETE


def test_a_refused_trade_is_a_hole_at_its_moment_unless_another_gatherer_s_copy_was_taken(judged):
    execute(judged.production, REFUSE, (1, "a", "trades", TICKER, at(20), at(21)))
    judged.judge(121)
    assert market(judged)[0, "trade"] == ("hole", [20, 21], [])
    assert market(judged)[0, "ticker"] == COMPLETE
    judged.gatherers[1].runs(0, 120).listens_to_all()
    judged.judge(121)
    assert market(judged)[0, "trade"] == COMPLETE


def test_a_refused_row_that_was_stored_after_all_is_heard(judged):
    execute(judged.production, REFUSE, (1, "a", "orderbook_deltas", TICKER, at(20), at(21)))
    judged.judge(121)
    execute(judged.production, "SELECT refused_row_is_stored(1)")
    judged.judge(121)
    assert books(judged) == {0: COMPLETE, 60: COMPLETE}


def test_a_refused_row_of_a_market_that_cannot_be_read_may_be_of_any(judged):
    execute(judged.production, REFUSE, (1, "a", "orderbook_deltas", "", at(100), at(101)))
    judged.judge(121)
    assert books(judged)[60] == books(judged, "KXTEST-2")[60] == ("hole", [100, 120], [])


def told_of_book(coverage, minutes, microseconds=0):
    moment = at(minutes) + timedelta(microseconds=microseconds)
    query = "SELECT state, lower(hole), upper(hole) FROM knowledge_of_book(%s, %s)"
    ((state, *hole),) = execute(coverage.production, query, (TICKER, moment))
    return (state, *hole) if hole[0] else state


def test_of_a_book_it_is_told_to_the_microsecond_where_holes_and_knowledge_end(judged):
    judged.gatherers[0].misses(62, 65)
    judged.judge(121)
    late = "INSERT INTO gatherer_gaps VALUES ('a', 1, 99, 7, %s, %s, -1, 1, NULL, '', 'disconnected')"
    execute(judged.production, late, (at(75), at(80)))
    hole, late_hole = ("hole", at(62), at(65)), ("hole", at(75), at(80))
    for before, minutes, after in (("complete", 62, hole), (hole, 65, "complete"), ("complete", 75, "unknown")):
        assert (told_of_book(judged, minutes, -1), told_of_book(judged, minutes)) == (before, after), minutes
    assert [told_of_book(judged, 80, -1), told_of_book(judged, 80)] == ["unknown", "complete"], "by the journal"
    judged.judge(121)
    for before, minutes, after in (("complete", 75, late_hole), (late_hole, 80, "complete")):
        assert (told_of_book(judged, minutes, -1), told_of_book(judged, minutes)) == (before, after), minutes
    assert [told_of_book(judged, 120), told_of_book(judged, 120, 1)] == ["complete", "unknown"]


def test_an_hour_is_made_only_when_whoever_learns_something_has_told_it(coverage):
    """Or what is learnt while the hour begins would neither be judged in it nor be waited for."""
    coverage.gatherers[0].runs(0, 90).listens_to_all()
    follow_without_judging(coverage)
    for table in ("coverage_hours", "coverage_changes"):
        execute(coverage.production, f"DELETE FROM {table} WHERE hour = %s", (at(60),))
    with connected(coverage.production) as learner, connected(coverage.production) as keeper:
        value_of(learner, "SELECT pg_advisory_xact_lock(hashtextextended('coverage_changes', 0))::TEXT")
        value_of(keeper, "SELECT set_config('lock_timeout', '50ms', FALSE)")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            judge_next_hour(keeper, at(91), PATIENCE, AT_ONCE)
        learner.commit()
        assert judge_next_hour(keeper, at(91), PATIENCE, AT_ONCE).judged.hour == at(60)
