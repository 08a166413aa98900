from datetime import timedelta

import pytest

from app.audit.audit import audit_again, audit_new
from app.audit.pairs import BookVerdict
from app.postgres.connection import claimed, connected, value_of
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_SNAPSHOTS
from app.storage.writer import CopyWriter
from tests.gatherers import NOON, at, execute, put_market
from tests.interrupting import Interrupting
from tests.storage import rows
from tests.storage.rows import NOON_US

MINUTE_US = 60_000_000
PATIENCE = timedelta(minutes=10)
NAMES = PRODUCTION_ORDERBOOK_DELTAS.column_names


def snapshot(minutes, clock, yes=(), ticker="KXTEST-1", **options):
    return rows.snapshot(NOON_US + int(minutes * MINUTE_US), ticker, clock, yes, lineage=(), **options)


def delta(minutes, clock, delta_e2, price_e6=500_000, ticker="KXTEST-1", **options):
    return rows.delta(NOON_US + int(minutes * MINUTE_US), ticker, clock, delta_e2, price_e6, lineage=(), **options)


def without_time(row):
    return tuple(True if name == "ts_missing" else value for name, value in zip(NAMES, row, strict=True))


@pytest.fixture
def audit(production):
    assert int(NOON.timestamp()) * 1_000_000 == NOON_US

    class Audit:
        """Of what was written so far; the verdicts."""

        def write(self, snapshots=(), deltas=()):
            for table, written in ((PRODUCTION_ORDERBOOK_SNAPSHOTS, snapshots), (PRODUCTION_ORDERBOOK_DELTAS, deltas)):
                writer = CopyWriter(table, production)
                writer.write(list(written))
                writer.close()
            return self

        def look(self, now_minutes=600, most=500):
            with connected(production) as connection:
                audited = audit_new(connection, at(now_minutes), PATIENCE, most)
            return {verdict.value: count for verdict, count in audited.verdicts.items()}

        def look_again(self):
            with connected(production) as connection:
                return audit_again(connection, 0)

    return Audit()


RUN = ("a", 1)


@pytest.fixture
def heard(production):
    """A gatherer claims to have heard two markets all the time."""
    execute(
        production,
        "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until) "
        "VALUES (%s, %s, %s, %s, %s)",
        (*RUN, at(-60), at(600), at(600)),
    )
    for ticker in ("KXTEST-1", "KXTEST-2"):
        execute(
            production,
            "INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker) "
            "VALUES (%s, %s, %s, 7, 'orderbook_delta', %s)",
            (*RUN, at(-60), ticker),
        )


def admit_gap(production, since, until):
    execute(
        production,
        "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) "
        "VALUES (%s, %s, 1, 7, %s, %s, 2, 1, 'orderbook_delta', 'sequence')",
        (*RUN, at(since), at(until)),
    )


def findings(production):
    return execute(
        production,
        "SELECT ticker, from_clock, to_clock, is_explained, differing_levels, levels, resolved_at FROM audit_findings",
    )


def test_a_book_that_comes_out_even_is_proven(audit, production):
    audit.write(
        [snapshot(0, 5, [(400_000, 100)]), snapshot(10, 8, [(400_000, 40), (500_000, 30)])],
        [
            delta(1, 6, 30),
            delta(2, 8, -60, 400_000),
            delta(11, 9, 500),
            delta(-1, 5, 100, 400_000),
            delta(1, 7, 9, ticker="B"),
        ],
    )
    assert audit.look() == {BookVerdict.EQUAL.value: 1}
    assert findings(production) == []
    assert execute(production, "SELECT compared, equal FROM audit_progress") == [(1, 1)]


def test_a_lost_change_is_a_finding_with_its_level(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"finding": 1}
    ((ticker, from_clock, to_clock, is_explained, count, levels, _),) = findings(production)
    assert (ticker, from_clock, to_clock, is_explained, count) == ("KXTEST-1", 5, 8, False, 1)
    assert levels == [{"yes_side": True, "price_e6": 500_000, "rebuilt_e2": 30, "seen_e2": 70}]


@pytest.mark.parametrize(
    ("since", "until", "verdict"), [(-5, 1, "finding"), (0, 10.5, "explained"), (-5, 10, "explained")]
)
def test_the_rest_of_a_gap_explains_no_loss_of_a_book_that_was_shown_again_in_it(
    audit, production, heard, since, until, verdict
):
    """A gap lasts until the last book of the subscription was shown again, and most were shown long before."""
    admit_gap(production, since, until)
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(6, 6, 30)])
    assert audit.look() == {verdict: 1}


def test_a_loss_within_a_declared_hole_is_explained_by_it(audit, production, heard):
    admit_gap(production, 2, 3)
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"explained": 1}
    assert findings(production)[0][3] is True


def test_where_nobody_claims_to_have_heard_it_a_loss_is_explained(audit, production):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"explained": 1}


def test_a_hole_elsewhere_explains_nothing(audit, production, heard):
    admit_gap(production, -5, 0)
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"finding": 1}


def test_a_finding_is_resolved_when_the_change_comes_late(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    audit.look()
    assert audit.look_again() == 1
    audit.write(deltas=[delta(2, 7, 40)])
    assert audit.look_again() == 0
    assert findings(production)[0][-1] is not None


def test_a_finding_is_explained_when_the_gap_is_told_late(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"finding": 1}
    admit_gap(production, 2, 3)
    assert audit.look_again() == 0
    assert findings(production)[0][3] is True


def test_a_difference_that_nothing_explains_any_more_is_a_finding(audit, production, request):
    """A gatherer that was away heard everything, as its journal says when it is back: then coverage is complete."""
    lost_change(audit)
    assert audit.look() == {"explained": 1}
    assert audit.look_again() == 0
    request.getfixturevalue("heard")
    assert audit.look_again() == 1
    assert findings(production)[0][3] is False


def test_a_difference_in_a_hole_that_coverage_lists_is_not_looked_at_again(audit, production):
    lost_change(audit).look()
    execute(production, "INSERT INTO coverage_hours (hour, known_until) VALUES (%s, %s)", (at(0), at(60)))
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, 'orderbook_delta', 'KXTEST-1', 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')",
        (at(0), at(2), at(3)),
    )
    before = execute(production, "SELECT checked_at FROM audit_findings")
    assert audit.look_again() == 0
    assert execute(production, "SELECT checked_at FROM audit_findings") == before


def test_each_snapshot_is_compared_with_the_one_before_it_whichever_order_they_came_in(audit, production):
    first, second, third = snapshot(0, 5), snapshot(10, 8, [(500_000, 30)]), snapshot(20, 9, [(500_000, 35)])
    deltas = [delta(1, 6, 30), delta(15, 9, 5)]
    audit.write([first, third], deltas)
    assert audit.look() == {"equal": 1}
    audit.write([second])
    assert audit.look() == {"equal": 1}
    assert audit.look() == {}


def test_it_goes_on_where_it_stopped(audit, production):
    audit.write([snapshot(minute, minute, [(500_000, 100)]) for minute in range(10)])
    assert [audit.look(most=4) for _ in range(3)] == [{"equal": 3}, {"equal": 4}, {"equal": 2}]


def test_what_is_not_known_yet_waits(audit, production):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 30)])], [delta(1, 6, 30)])
    assert audit.look(now_minutes=19) == {}
    assert audit.look(now_minutes=21) == {"equal": 1}


def test_polled_snapshots_are_not_compared(audit, production):
    audit.write([snapshot(0, -1, source="rest"), snapshot(5, -1, [(1, 1)], source="rest"), snapshot(10, 5, [(2, 2)])])
    assert audit.look() == {}


@pytest.mark.parametrize(
    ("deltas", "to_clock"),
    [
        ([(1, 600), (70, 2)], 3),  # the clock is lower than before
        ([(1, 600), (70, 2), (80, 700)], 701),  # it has passed where it was
        ([(70, 2), (80, 700)], 701),
        ([(1, 900), (70, 600)], 601),
    ],
)
def test_over_a_restart_of_the_clock_nothing_can_be_said(audit, production, deltas, to_clock):
    audit.write(
        [snapshot(0, 500), snapshot(90, to_clock, [(500_000, 1)])],
        [delta(minutes, clock, 100) for minutes, clock in deltas],
    )
    assert audit.look() == {"incomparable": 1}
    assert findings(production) == []


@pytest.mark.parametrize(("before", "after"), [([2], [2, 8]), ([2, 3], [2, 8]), ([7, 8], [2, 8]), ([2], [8])])
def test_changes_of_before_a_short_restart_are_no_finding_after_it(audit, production, heard, before, after):
    audit.write(
        [snapshot(0, 1), snapshot(0.5, 8, [(500_000, 10 * len(after))])],
        [delta(-0.2, clock, 100) for clock in before] + [delta(0.1, clock, 10) for clock in after],
    )
    assert audit.look() == {"equal": 1}
    assert findings(production) == []


def test_a_change_without_a_time_of_the_old_clocks_is_no_part_of_a_pair_of_the_new_ones(audit, production, heard):
    audit.write(
        [snapshot(-50, 4), snapshot(0, 3), snapshot(10, 8, [(500_000, 30)])],
        [without_time(delta(-0.2, 5, 100)), delta(1, 5, 30)],
    )
    assert audit.look() == {"incomparable": 1, "equal": 1}
    assert findings(production) == []


def test_after_the_restart_books_are_proven_again(audit, production):
    audit.write([snapshot(0, 500), snapshot(70, 1), snapshot(90, 3, [(500_000, 100)])], [delta(80, 3, 100)])
    assert audit.look() == {"incomparable": 1, "equal": 1}


def test_what_is_left_when_a_market_ends_goes_without_a_change(audit, production, heard):
    put_market(production, "KXTEST-1", closes=30)
    books = [snapshot(0, 5, [(500_000, 100)]), snapshot(40, 5)]
    audit.write(books)
    assert audit.look() == {"incomparable": 1}
    audit.write([snapshot(0, 5, [(500_000, 100)], "KXTEST-2"), snapshot(40, 5, ticker="KXTEST-2")])
    assert audit.look() == {"finding": 1}


CLOSE = 30
FULL = [(500_000, 100)]


def emptied_at(minutes, ticker="KXTEST-1"):
    """A book that was full, and that the exchange shows empty without a change that emptied it."""
    return [snapshot(0, 5, FULL, ticker), snapshot(minutes, 5, ticker=ticker)]


def test_a_book_emptied_at_the_close_is_none_by_a_clock_that_is_some_seconds_behind_either(audit, production, heard):
    put_market(production, "KXTEST-1", closes=CLOSE)
    put_market(production, "KXTEST-2", closes=CLOSE)
    audit.write(emptied_at(CLOSE - 5 / 60))
    assert audit.look() == {"incomparable": 1}
    audit.write(emptied_at(CLOSE - 1, "KXTEST-2"))
    assert audit.look() == {"finding": 1}


def test_a_book_of_before_the_close_that_another_connection_shows_a_moment_after_it_is_no_finding(
    audit, production, heard
):
    put_market(production, "KXTEST-1", closes=CLOSE)
    audit.write([*emptied_at(CLOSE + 0.01), snapshot(CLOSE + 0.03, 5, FULL)])
    assert audit.look() == {"incomparable": 2}
    audit.write([snapshot(CLOSE + 10, 5)])
    assert audit.look() == {"incomparable": 1}


def test_a_book_that_is_full_again_long_after_an_empty_one_is_compared(audit, production, heard):
    put_market(production, "KXTEST-1", closes=CLOSE)
    audit.write([snapshot(0, 5), snapshot(CLOSE + 0.01, 6, FULL)])
    assert audit.look() == {"finding": 1}


def test_that_a_market_closed_early_may_become_known_after_its_empty_book(audit, production, heard):
    put_market(production, "KXTEST-1", closes=100)
    audit.write([*emptied_at(CLOSE), snapshot(CLOSE, 5, FULL, "KXTEST-2")])

    def look(now_minutes):
        with connected(production) as connection:
            audited = audit_new(connection, at(now_minutes), timedelta(0))
        return {verdict.value: count for verdict, count in audited.verdicts.items()}

    assert look(CLOSE + 1) == {}
    execute(production, "UPDATE markets SET status = 'closed' WHERE ticker = 'KXTEST-1'")
    assert look(CLOSE + 1) == {"incomparable": 1}


def test_an_empty_book_of_an_open_market_is_judged_after_a_while(audit, production, heard):
    put_market(production, "KXTEST-1", closes=100)
    audit.write(emptied_at(CLOSE))
    with connected(production) as connection:
        assert not audit_new(connection, at(CLOSE + 1), timedelta(0)).verdicts
        assert [pair.ticker for pair in audit_new(connection, at(CLOSE + 3), timedelta(0)).findings] == ["KXTEST-1"]


def test_the_empty_book_of_a_close_proves_no_change_before_it(audit, production, heard):
    for ticker in ("KXTEST-1", "KXTEST-2"):
        put_market(production, ticker, closes=CLOSE)
        audit.write([snapshot(CLOSE - 0.5, 5, FULL, ticker), snapshot(CLOSE + 0.01, 6, ticker=ticker)])
    audit.write(deltas=[delta(CLOSE - 0.1, 6, 30)])
    assert audit.look() == {"incomparable": 2}
    proven = [execute(production, "SELECT audited_until(%s)", (ticker,)) for ticker in ("KXTEST-1", "KXTEST-2")]
    assert proven == [[(at(CLOSE - 0.5),)]] * 2
    ends = execute(production, "SELECT closed, unproven FROM unproven_ends(%s, %s)", (at(0), at(60)))
    assert ends == [(2, 1)], "in the other market nothing happened since its last snapshot"


def test_an_empty_book_while_orders_were_still_placed_is_a_finding_though_the_market_has_ended_since(
    audit, production, heard
):
    put_market(production, "KXTEST-1", closes=100)
    audit.write(emptied_at(CLOSE), [delta(CLOSE + 2, 6, 100)])
    execute(production, "UPDATE markets SET status = 'determined', close_time = NULL WHERE ticker = 'KXTEST-1'")
    assert audit.look() == {"finding": 1}


def lost_change(audit):
    return audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])


def test_a_finding_that_was_resolved_is_open_again_when_the_books_differ_again(audit, production, heard):
    lost_change(audit).look()
    audit.write(deltas=[delta(2, 7, 40)])
    assert audit.look_again() == 0
    execute(production, "DELETE FROM orderbook_deltas WHERE clock = 7")
    execute(production, "UPDATE audit_progress SET ingest_id = 0")
    assert audit.look() == {"finding": 1}
    assert findings(production)[0][-1] is None
    assert audit.look_again() == 1


def test_pairs_that_nothing_can_be_said_of_are_counted(audit, production):
    audit.write([snapshot(0, 500), snapshot(70, 1), snapshot(90, 3, [(500_000, 100)])], [delta(80, 3, 100)])
    audit.look()
    audit.write([snapshot(100, 4)])
    audit.look()
    progress = execute(production, "SELECT compared, equal, explained, incomparable FROM audit_progress")
    assert progress == [(3, 1, 1, 1)]


def test_a_finding_that_was_resolved_and_differs_again_is_open_again(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    audit.look()
    audit.write(deltas=[delta(2, 7, 40)])
    assert audit.look_again() == 0
    execute(production, "DELETE FROM orderbook_deltas WHERE clock = 7")
    execute(production, "UPDATE audit_progress SET ingest_id = 0")
    assert audit.look() == {"finding": 1}
    ((*_, levels, resolved_at),) = findings(production)
    assert resolved_at is None
    assert levels == [{"yes_side": True, "price_e6": 500_000, "rebuilt_e2": 30, "seen_e2": 70}]
    assert audit.look_again() == 1


def test_a_finding_is_taken_back_when_it_turns_out_that_nothing_can_be_said(audit, production, heard):
    lost_change(audit).look()
    assert audit.look_again() == 1
    audit.write(deltas=[delta(5, 700, 10, 900_000), delta(6, 2, 10, 900_000)])
    assert audit.look_again() == 0
    assert findings(production)[0][-1] is not None
    assert audit.look_again() == 0


def test_a_finding_is_looked_at_again_after_a_while_and_not_at_once(audit, production, heard):
    lost_change(audit).look()
    audit.write(deltas=[delta(2, 7, 40)])
    with connected(production) as connection:
        assert audit_again(connection, 3_600) == 1
        execute(production, "UPDATE audit_findings SET checked_at = now() - INTERVAL '2 hours'")
        assert audit_again(connection, 3_600) == 0


def test_of_two_auditors_one_looks(audit, production, heard):
    lost_change(audit)
    with connected(production) as other, claimed(other, "auditing") as is_ours:
        assert is_ours
        assert audit.look() == {}
    assert execute(production, "SELECT compared FROM audit_progress") == [(0,)]
    assert audit.look() == {"finding": 1}


def test_a_second_auditor_between_any_two_statements_counts_nothing_twice(audit, production, heard):
    """Whenever it comes, each book is compared once, and each finding is one."""
    lost_change(audit)
    between = Interrupting(audit.look)
    with connected(production) as connection:
        connection.cursor_factory = between.cursor_factory
        audit_new(connection, at(600), PATIENCE)
    assert between.interruptions > 5
    assert execute(production, "SELECT compared, equal FROM audit_progress") == [(1, 0)]
    assert len(findings(production)) == 1


def test_a_finding_is_kept_though_coverage_learns_of_something_meanwhile(audit, production, heard):
    """Journals come in all the time: an audit that began anew for each of them would never get past a finding."""
    execute(production, "INSERT INTO coverage_hours (hour, known_until) VALUES (%s, %s)", (at(0), at(0)))
    execute(production, "INSERT INTO coverage_changes (hour) VALUES (%s)", (at(0),))
    lost_change(audit)
    between = Interrupting(lambda: learn_of_a_gap(production))
    with connected(production) as connection:
        connection.cursor_factory = between.cursor_factory
        audit_new(connection, at(600), PATIENCE)
    assert between.interruptions > 5
    assert execute(production, "SELECT changes > 5 FROM coverage_changes") == [(True,)]
    assert len(findings(production)) == 1
    assert execute(production, "SELECT compared FROM audit_progress") == [(1,)]


def learn_of_a_gap(production):
    """Unless the auditor is about to say something itself, and whoever else has something to say waits for it."""
    with connected(production) as other, other, other.cursor() as cursor:
        if value_of(other, "SELECT pg_try_advisory_xact_lock(hashtextextended('coverage_changes', 0))"):
            cursor.execute(
                "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) "
                "SELECT %s, %s, count(*), 7, %s, %s, 2, 1, 'orderbook_delta', 'sequence' FROM gatherer_gaps",
                (*RUN, at(20), at(21)),
            )


def test_what_one_auditor_has_looked_at_is_looked_at_by_no_other(audit, production):
    audit.write([snapshot(minute, minute, [(500_000, 100)]) for minute in range(6)])
    between = Interrupting(lambda: audit.look(most=2))
    with connected(production) as connection:
        connection.cursor_factory = between.cursor_factory
        audit_new(connection, at(600), PATIENCE, most=2)
    while audit.look(most=2):
        continue
    assert execute(production, "SELECT compared, equal FROM audit_progress") == [(5, 5)]


def test_a_finding_of_clocks_that_turn_out_to_have_begun_anew_is_none(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    assert audit.look() == {"finding": 1}
    audit.write(deltas=[delta(5, 2, 7)])
    assert audit.look_again() == 0
    assert findings(production)[0][-1] is not None


def test_while_one_auditor_is_at_it_another_one_finds_nothing_to_do(audit, production, heard):
    audit.write([snapshot(0, 5), snapshot(10, 8, [(500_000, 70)])], [delta(1, 6, 30)])
    with connected(production) as other, claimed(other, "auditing") as is_theirs:
        assert is_theirs
        assert audit.look() == {}
        assert execute(production, "SELECT compared FROM audit_progress") == [(0,)]
    assert audit.look() == {"finding": 1}
    audit.write(deltas=[delta(2, 7, 40)])
    with connected(production) as other, claimed(other, "auditing"):
        assert audit.look_again() == 1
    assert audit.look_again() == 0
