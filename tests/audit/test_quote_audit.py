"""The audit by quotes on production: what it proves, what it finds, and what explains a difference."""

import contextlib
import itertools
from datetime import timedelta

import pytest

from app.audit.quote_audit import FollowedBooks, audit_new_quotes
from app.audit.quote_findings import audit_quotes_again
from app.coverage.evidence import HeardPeriod
from app.coverage.hours import judge_next_hour
from app.coverage.queries import market_hours
from app.postgres.connection import claimed, connected, value_of
from app.storage.tables import (
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_TICKERS,
)
from app.storage.writer import CopyWriter
from tests.audit.test_audit import admit_gap, delta, heard, snapshot, without_time
from tests.gatherers import at, execute, put_market
from tests.interrupting import Interrupting
from tests.storage.rows import NOON_US

__all__ = ["heard"]

MINUTE_US = 60_000_000
PATIENCE = timedelta(minutes=10)
AT_ONCE = timedelta(0)
TABLES = (PRODUCTION_ORDERBOOK_SNAPSHOTS, PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_TICKERS)


def quote(minutes, bid=(400_000, 500), ask=(1_000_000, 0), ticker="KXTEST-1", received=None):
    at_us = NOON_US + int(minutes * MINUTE_US)
    received_us = at_us + 30_000 if received is None else NOON_US + int(received * MINUTE_US)
    (bid_e6, bid_size_e2), (ask_e6, ask_size_e2) = bid, ask
    figures = (bid_size_e2, ask_size_e2, None, None, None, None, None, None, bid_e6, ask_e6)
    return (at_us, received_us, hash((bid, ask)) % 2**40, *figures, 0, False, ticker)


@pytest.fixture
def audit(production):
    class Audit:
        """Of what was written so far; the verdicts."""

        def __init__(self):
            self.books = FollowedBooks()
            self.passed = 0

        def write(self, snapshots=(), deltas=(), quotes=()):
            for table, written in zip(TABLES, (snapshots, deltas, quotes), strict=True):
                if written:
                    writer = CopyWriter(table, production)
                    writer.write(list(written))
                    writer.close()
            return self

        def look(self, now_minutes=60, most=500):
            with connected(production) as connection:
                audited = audit_new_quotes(connection, self.books, at(now_minutes), PATIENCE, most)
            self.passed += audited.passed
            return {verdict.value: count for verdict, count in audited.verdicts.items()}

        def look_again(self, now_minutes=60):
            with connected(production) as connection:
                return audit_quotes_again(connection, at(now_minutes), PATIENCE, 0)

        def proven(self, ticker="KXTEST-1"):
            with connected(production) as connection:
                return value_of(connection, "SELECT proven_until(%s)", (ticker,))

    return Audit()


def findings(production):
    return execute(
        production,
        "SELECT from_ts, to_ts, quote_ts, is_explained, levels FROM audit_findings WHERE resolved_at IS NULL ORDER BY from_ts",
    )


def bounds(production):
    return execute(production, "SELECT from_ts, is_lasting, is_explained FROM audit_findings WHERE resolved_at IS NULL")


BOOK = [(400_000, 500), (390_000, 200)]


def test_quotes_that_agree_prove_the_book_up_to_the_last_one(audit):
    audit.write([snapshot(0, 5, BOOK)], [delta(1, 6, 40, 400_000)], [quote(0.5), quote(2, (400_000, 540))])
    assert audit.look() == {"equal": 2}
    assert audit.proven() == at(2)


def test_a_lost_change_is_a_finding_from_the_last_confirmation_of_its_level(audit, production, heard):
    audit.write(
        [snapshot(0, 5, BOOK)],
        [delta(1, 6, -500, 400_000), delta(3, 9, 10, 300_000)],
        # The change of 390,000 to 260 at some time after the first quote that shows that level is lost.
        [quote(0.5), quote(1.5, (390_000, 200)), quote(2, (390_000, 260))],
    )
    assert audit.look() == {"equal": 2, "finding": 1}
    assert findings(production)[0][2:] == (
        at(2),
        False,
        [{"yes_side": True, "price_e6": 390_000, "rebuilt_e2": 200, "seen_e2": 260}],
    )
    assert bounds(production) == [(at(1.5), True, False)]
    assert audit.proven() == at(1.5)


def test_a_level_that_better_bids_hid_may_have_been_wrong_since_the_snapshot(audit, production, heard):
    audit.write(
        [snapshot(0, 5, BOOK)],
        [delta(1, 6, -500, 400_000), delta(3, 9, 10, 300_000)],
        [quote(0.5), quote(2, (390_000, 260))],
    )
    assert audit.look() == {"equal": 1, "finding": 1}
    assert bounds(production) == [(at(0), True, False)]


def test_a_finding_lasts_until_the_next_snapshot_and_the_book_is_proven_again(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    audit.look()
    audit.write(quotes=[quote(4, (400_000, 560))])
    assert audit.look() == {}
    audit.write([snapshot(5, 9, [(400_000, 560), (300_000, 10)])], (), [quote(4.5, (400_000, 560))])
    audit.write(quotes=[quote(6, (400_000, 560))])
    assert audit.look() == {"equal": 1}
    assert [each[:3] for each in findings(production)] == [(at(0.5), at(5), at(2))]
    assert audit.proven() == at(6)


def test_the_hours_of_a_contradicted_window_are_not_complete(audit, production, heard):
    put_market(production, "KXTEST-1", opens=-30, closes=600)
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    judge_all(production)
    assert holes(production) == []
    audit.look()
    assert execute(production, "SELECT state FROM knowledge_of_book('KXTEST-1', %s)", (at(1),)) != [("complete",)]
    judge_all(production)
    assert {state for state, _ in holes(production)} == {"hole"}
    assert min(since for _, since in holes(production)) == at(0.5)
    assert len(holes(production)) > 5
    with connected(production) as connection:
        shown = {each.channel: each for each in market_hours(connection, "KXTEST-1", HeardPeriod(at(0), at(30)))}
    assert (shown["orderbook_delta"].state, shown["orderbook_delta"].proven_until) == ("hole", at(0.5))
    assert shown["trade"].proven_until is None
    audit.write([snapshot(5, 9, [(400_000, 560)])])
    audit.look_again()
    judge_all(production)
    assert holes(production) == [("hole", at(0.5))]


def judge_all(production):
    with connected(production) as connection:
        while judge_next_hour(connection, at(500), PATIENCE, AT_ONCE).judged:
            continue


def holes(production):
    return execute(
        production,
        "SELECT state, lower(holes) FROM coverage WHERE ticker = 'KXTEST-1' AND hour >= %s ORDER BY hour",
        (at(0),),
    )


def test_a_loss_in_a_declared_hole_is_explained_by_it(audit, production, heard):
    admit_gap(production, 1, 1.5)
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    assert audit.look() == {"equal": 1, "explained": 1}
    assert bounds(production) == [(at(0.5), True, True)]


def test_a_finding_is_resolved_when_the_lost_change_arrives(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    audit.look()
    audit.write(deltas=[delta(1, 7, 60, 400_000)], quotes=[quote(4, (400_000, 560))])
    assert audit.look_again() == 1
    assert findings(production) == []
    assert audit.look() == {"equal": 1}
    assert audit.proven() == at(4)


def test_a_hole_that_is_declared_late_explains_a_finding(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    assert audit.look()["finding"] == 1
    admit_gap(production, 1, 1.5)
    audit.look_again()
    assert bounds(production) == [(at(0.5), True, True)]


def test_a_finding_stays_when_its_quote_is_gone(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
    audit.look()
    execute(production, "TRUNCATE tickers")
    assert audit.look_again() == 1
    assert bounds(production) == [(at(0.5), True, False)]


def test_a_late_change_before_the_last_quote_costs_only_a_look_at_the_whole_book(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5)])
    assert audit.look() == {"equal": 1}
    audit.write(deltas=[delta(0.4, 6, 60, 380_000)])
    audit.write(deltas=[delta(5, 10, -500, 400_000), delta(5, 11, -200, 390_000)], quotes=[quote(6, (380_000, 60))])
    assert audit.look() == {"equal": 1}
    assert findings(production) == []


def delivered_until(production, minutes):
    """The gatherer is in contact, and has delivered what it received up to then."""
    execute(production, "UPDATE gatherer_runs SET delivered_until = %s", (at(minutes),))
    execute(
        production,
        "INSERT INTO gatherer_contacts (gatherer, system_identifier, contacted_at) VALUES ('a', 1, %s) "
        "ON CONFLICT (gatherer) DO UPDATE SET contacted_at = excluded.contacted_at",
        (at(600),),
    )


DOUBTED = "SELECT ticker FROM book_proofs WHERE doubted_at IS NOT NULL"


def test_what_may_explain_a_difference_is_waited_for(audit, production, heard):
    """Nothing later was recorded: it may be on its way, or the market closed early."""
    audit.write([snapshot(590, 5, BOOK)], (), [quote(599.98, (400_000, 560))])
    delivered_until(production, 600)
    assert audit.look(600) == {}
    assert (findings(production), execute(production, DOUBTED)) == ([], [("KXTEST-1",)])
    audit.write(deltas=[delta(599.97, 7, 60, 400_000)])
    assert audit.look(600) == {"equal": 1}
    assert execute(production, DOUBTED) == []
    assert audit.proven() == at(599.98)


def test_a_doubt_becomes_a_finding_when_the_market_goes_on_without_it(audit, production, heard):
    audit.write([snapshot(590, 5, BOOK)], (), [quote(599.98, (400_000, 560))])
    delivered_until(production, 600)
    assert audit.look(600) == {}
    audit.write(deltas=[delta(599.99, 7, 60, 300_000)])
    assert audit.look(600) == {"finding": 1}
    assert execute(production, DOUBTED) == []


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_doubt_becomes_a_finding_when_the_market_would_be_known_to_be_over(audit, production, heard, is_announced):
    if is_announced:
        at_us = NOON_US + 598 * MINUTE_US
        writer = CopyWriter(PRODUCTION_LIFECYCLE_EVENTS, production)
        writer.write([(at_us, at_us, 1, 0, "KXTEST-1", "close_date_updated", b"{}")])
        writer.close()
    audit.write([snapshot(590, 5, BOOK)], (), [quote(597.9, (400_000, 560))])
    delivered_until(production, 599)
    assert audit.look(600) == ({} if is_announced else {"finding": 1})
    if not is_announced:
        return
    delivered_until(production, 600)
    assert audit.look(600) == {"finding": 1}


@pytest.mark.parametrize("status", ["active", "closed"])
def test_a_market_that_is_over_shows_no_contradiction(audit, production, heard, status):
    put_market(production, "KXTEST-1", opens=-60, closes=2.1 if status == "active" else 600, status=status)
    audit.write([snapshot(0, 5, BOOK)], (), [quote(0.5), quote(2, (0, 0))])
    assert audit.look() == {"equal": 1, "incomparable": 1}
    assert audit.proven() == at(0.5)


def test_clocks_that_restarted_in_between_leave_a_quote_incomparable(audit, production, heard):
    audit.write(
        [snapshot(0, 50, BOOK)],
        [delta(1, 51, 60, 300_000), delta(2.5, 1, 60, 300_000), delta(3, 2, 60, 300_000)],
        [quote(2, (400_000, 560))],
    )
    assert audit.look() == {"incomparable": 1}


def test_a_snapshot_that_holds_later_changes_than_its_stamp_is_no_evidence(audit, production, heard):
    audit.write(
        [snapshot(1, 7, [(400_000, 560)])],
        [delta(1.01, 7, 60, 400_000), delta(3, 8, 10, 300_000)],
        [quote(1.005), quote(2, (400_000, 560))],
    )
    assert audit.look() == {"incomparable": 1}
    audit.write(quotes=[quote(3.5, (400_000, 560))])
    assert audit.look() == {"equal": 1}


def test_a_change_without_a_time_of_its_own_may_have_come_before(audit, production, heard):
    late = without_time(delta(2.2, 6, 60, 400_000))
    audit.write([snapshot(0, 5, BOOK)], [late, delta(3, 8, 10, 300_000)], [quote(2, (400_000, 560))])
    assert audit.look() == {"equal": 1}


def test_quotes_are_not_looked_at_before_all_gatherers_have_delivered(audit, production, heard):
    audit.write([snapshot(0, 5, BOOK)], (), [quote(0.5)])
    delivered_until(production, 0.4)
    assert audit.look(600) == {}
    delivered_until(production, 1)
    assert audit.look(600) == {"equal": 1}


def test_what_is_merged_is_compared_before_journals_tell_and_a_difference_is_a_doubt_until_then(
    audit, production, heard
):
    audit.write([snapshot(590, 5, BOOK)], [delta(599.99, 7, 60, 300_000)], [quote(595), quote(599.9, (400_000, 560))])
    put_market(production, "KXTEST-1", opens=-30, closes=1_200)
    delivered_until(production, 599)
    judge_all(production)
    execute(
        production,
        "INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id, received_through) "
        "VALUES ('a', 'orderbook_deltas', 1, 1, %s)",
        (at(599.95),),
    )
    assert audit.look(600) == {"equal": 1}
    assert (audit.proven(), execute(production, DOUBTED)) == (at(595), [("KXTEST-1",)])
    assert known_until(production) == at(595)
    assert audit.look(600) == {}
    delivered_until(production, 600)
    assert audit.look(600) == {"finding": 1}
    assert execute(production, DOUBTED) == []
    assert known_until(production) > at(595)


def known_until(production):
    ((until,),) = execute(production, "SELECT known_until('KXTEST-1')")
    return until


def test_a_round_reads_a_part_and_the_next_one_goes_on(audit, production):
    audit.write([snapshot(0, 5, BOOK)], (), [quote(minutes) for minutes in range(1, 8)])
    assert [audit.look(most=3) for _ in range(4)] == [{"equal": 3}, {"equal": 3}, {"equal": 1}, {}]
    assert execute(production, "SELECT compared, equal, passed FROM quote_audit_progress") == [(7, 7, 0)]


def test_quotes_of_markets_without_a_book_and_late_ones_pass(audit):
    audit.write([snapshot(0, 5, BOOK)], (), [quote(1, ticker="KXTEST-2"), quote(2), quote(1.5), quote(-20)])
    assert audit.look(now_minutes=70 + 10) == {}
    assert audit.passed == 4


def test_memory_is_bounded_and_what_was_forgotten_is_rebuilt(audit, production):
    audit.books = FollowedBooks(most_levels=5)
    tickers = [f"KXTEST-{number}" for number in range(6)]
    audit.write([snapshot(0, 5, BOOK, ticker) for ticker in tickers])
    for minute in (1, 2):
        audit.write(quotes=[quote(minute, ticker=ticker) for ticker in tickers])
        assert audit.look() == {"equal": 6}
        assert len(audit.books) == 2


def test_one_process_audits(audit, production):
    audit.write([snapshot(0, 5, BOOK)], (), [quote(1)])
    with connected(production) as other, claimed(other, "auditing quotes"):
        assert audit.look() == {}
    assert audit.look() == {"equal": 1}


class KilledError(Exception):
    """In place of a statement: the process is no more."""


def test_a_process_may_die_before_any_statement(audit, production, heard):
    """The next one finds the same."""
    for number in itertools.count(1):
        execute(production, "TRUNCATE audit_findings, book_proofs, tickers, orderbook_deltas, orderbook_snapshots")
        execute(production, "UPDATE quote_audit_progress SET compared = 0, equal = 0")
        audit.write([snapshot(0, 5, BOOK)], [delta(3, 9, 10, 300_000)], [quote(0.5), quote(2, (400_000, 560))])
        dies = Interrupting(die, only_before=number)
        with contextlib.suppress(KilledError), connected(production) as connection:
            connection.cursor_factory = dies.cursor_factory
            audit_new_quotes(connection, audit.books, at(60), PATIENCE)
        if not dies.interruptions:
            break
        assert len(audit.books) == 0
        audit.look()
        assert bounds(production) == [(at(0.5), True, False)]
        assert execute(production, "SELECT compared, equal FROM quote_audit_progress") == [(2, 1)]
        audit.books.clear()
    assert number > 20


def die():
    raise KilledError
