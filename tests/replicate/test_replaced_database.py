"""A gatherer's database is replaced or put back: what its runs recorded there counts only as far as it was delivered."""

import pytest

from app.postgres.connection import connected, value_of
from app.replicate.journal import JournalFollower
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.coverage.test_hours import books, market
from tests.gatherers import Gatherer, at, execute, put_market
from tests.merge.recordings import Recordings
from tests.storage import rows

TICKER = "KXTEST-1"


@pytest.fixture
def gatherer(coverage):
    put_market(coverage.production, TICKER)
    return coverage.gatherers[0]


@pytest.fixture
def trust(coverage):
    def read():
        query = "SELECT run_id, delivered_until, trusted_until FROM gatherer_runs WHERE gatherer = 'a' ORDER BY run_id"
        return execute(coverage.production, query)

    return read


def replace(coverage, server, templates):
    """Its database is another one, empty."""
    coverage.gatherers[0] = Gatherer(server, templates, "a")
    return coverage.gatherers[0]


def found_at(coverage, minutes):
    """The other state was noticed then: what starts later starts in it."""
    execute(coverage.production, "UPDATE gatherer_contacts SET state_since = %s", [at(minutes)])


def follow(coverage):
    gatherer = coverage.gatherers[0].is_read_into(coverage.production)
    follower = JournalFollower(gatherer.name, gatherer.timeseries, coverage.production)
    follower.round()
    follower.close()


def test_what_a_rebuilt_database_lacks_is_not_heard_though_the_run_s_last_word_comes_from_the_spool(
    coverage, gatherer, trust, server, templates
):
    gatherer.runs(0, 10).listens_to_all(tickers=[TICKER])
    coverage.judge(10)
    gatherer.runs(0, 50)
    anew = replace(coverage, server, templates)
    anew.runs(0, 58, ended=58)
    coverage.judge(58)
    found_at(coverage, 58)
    anew.runs(59, 70, run_id=2).listens("orderbook_delta", TICKER, since=59, run_id=2)
    coverage.judge(71)
    assert trust() == [(1, at(10), at(10)), (2, at(70), None)]
    assert books(coverage)[0] == ("hole", [10, 59], ["a"])
    assert market(coverage)[0, "trade"] == ("hole", [10, 60], [])


def test_a_run_that_was_never_seen_before_the_rebuilding_counts_only_if_it_began_after_it(
    coverage, gatherer, trust, server, templates
):
    gatherer.runs(0, 10).listens_to_all(tickers=[TICKER])
    coverage.judge(10)
    anew = replace(coverage, server, templates)
    anew.runs(0, 20).runs(21, 58, run_id=2).listens("orderbook_delta", TICKER, since=22, run_id=2)
    coverage.judge(58)
    found_at(coverage, 58)
    anew.runs(59, 70, run_id=3).listens("orderbook_delta", TICKER, since=59, run_id=3)
    coverage.judge(71)
    assert trust() == [(1, at(10), at(10)), (2, at(21), at(21)), (3, at(70), None)]
    assert books(coverage)[0] == ("hole", [10, 59], ["a"])


@pytest.mark.parametrize("is_found_empty", [True, False])
def test_a_run_whose_first_word_comes_from_the_spool_to_a_rebuilt_database_counts_for_nothing(
    coverage, gatherer, trust, server, templates, is_found_empty
):
    follow(coverage)
    anew = replace(coverage, server, templates)
    if is_found_empty:
        follow(coverage)
        found_at(coverage, 40)
    anew.runs(0, 58).listens("orderbook_delta", TICKER, since=0)
    coverage.judge(71)
    assert trust() == [(1, at(0), at(0))]
    assert books(coverage)[0] == ("hole", [0, 60], [])


def test_a_clock_that_is_ahead_makes_no_run_younger_than_the_rebuilding(coverage, gatherer, trust, server, templates):
    follow(coverage)
    anew = replace(coverage, server, templates)
    follow(coverage)
    found_at(coverage, 40 - 5 / 60)
    anew.runs(40, 58)
    coverage.judge(71)
    assert trust() == [(1, at(40), at(40))]


def put_back(dsn, *statements):
    """To the state before something was written; its ids are given again."""
    for statement in statements:
        execute(dsn, statement)


def test_a_journal_that_was_put_back_under_a_living_gatherer_is_read_again_and_its_run_counts_no_more(
    coverage, gatherer, trust
):
    gatherer.runs(0, 30).listens_to_all(tickers=[TICKER]).misses(5, 6, number=1)
    gatherer.runs(0, 31).misses(25, 26, number=2)
    coverage.judge(32)
    put_back(
        gatherer.timeseries,
        "DELETE FROM gaps WHERE number = 2",
        "ALTER TABLE gaps ALTER COLUMN ingest_id RESTART WITH 2",
    )
    gatherer.misses(35, 45, number=3).runs(0, 61)
    coverage.judge(62)
    coverage.judge(75)
    assert execute(coverage.production, "SELECT number FROM gatherer_gaps ORDER BY 1") == [(1,), (2,), (3,)]
    assert trust() == [(1, at(31), at(31))]
    assert books(coverage)[0] == ("hole", [5, 6, 25, 26, 31, 60], ["a"])
    found_at(coverage, 75)
    gatherer.runs(76, 90, run_id=2).listens("orderbook_delta", TICKER, since=76, run_id=2)
    coverage.judge(91)
    assert books(coverage)[60][:2] == ("hole", [60, 76])


def test_an_id_that_was_given_out_and_never_again_tells_of_an_earlier_state(coverage, gatherer, trust):
    gatherer.runs(0, 30).listens_to_all(tickers=[TICKER]).misses(5, 6, number=1).misses(7, 8, number=2)
    coverage.judge(31)
    put_back(gatherer.timeseries, "DELETE FROM gaps", "ALTER TABLE gaps ALTER COLUMN ingest_id RESTART WITH 1")
    gatherer.runs(0, 60)
    coverage.judge(60)
    assert trust() == [(1, at(30), at(30))]


def test_journal_rows_that_were_dropped_for_their_age_are_no_sign_of_an_earlier_state(coverage, gatherer, trust):
    gatherer.runs(0, 30).listens_to_all(tickers=[TICKER]).misses(5, 6, number=1)
    coverage.judge(31)
    execute(gatherer.timeseries, "DELETE FROM gaps; DELETE FROM subscriptions")
    gatherer.runs(0, 60)
    coverage.judge(60)
    assert trust() == [(1, at(60), None)]


def test_a_row_that_is_written_again_is_no_sign_of_an_earlier_state(coverage, gatherer, trust):
    gatherer.runs(0, 30).listens_to_all(tickers=[TICKER]).misses(5, None, number=1)
    coverage.judge(31)
    gatherer.misses(5, 6, number=1).runs(0, 60)
    coverage.judge(60)
    assert trust() == [(1, at(60), None)]
    assert books(coverage)[0] == ("hole", [5, 6], ["a"])


@pytest.mark.parametrize(
    "earlier",
    [
        "timeline = timeline - 1",  # a replica was promoted
        "wal_position = wal_position + 1000000000000",  # a copy of its disk was put in its place
        "database_identity = 1",  # created anew on the same server
        "system_identifier = 1",
    ],
)
def test_a_living_gatherer_s_run_counts_no_more_once_its_database_is_another_or_an_earlier_one(
    coverage, gatherer, trust, earlier
):
    gatherer.runs(0, 30).listens_to_all(tickers=[TICKER])
    coverage.judge(31)
    execute(coverage.production, f"UPDATE gatherer_contacts SET {earlier}")
    gatherer.runs(0, 60)
    for _ in range(3):
        coverage.judge(75)
    assert trust() == [(1, at(30), at(30))]
    assert books(coverage)[0] == ("hole", [30, 60], [])


def test_an_earlier_state_says_itself_up_to_where_it_has_all(coverage, gatherer, trust):
    gatherer.runs(0, 10).runs(0, 15)
    gatherer.is_read_into(coverage.production)
    record(gatherer, 1)
    follow(coverage)
    put_back(gatherer.timeseries, "ALTER TABLE runs ALTER COLUMN ingest_id RESTART WITH 1")
    gatherer.runs(0, 10)
    follow(coverage)
    assert trust() == [(1, None, at(10))]
    merge(coverage, gatherer)
    follow(coverage)
    follow(coverage)
    assert trust() == [(1, at(10), at(10))]


def test_a_clock_that_is_set_back_ends_no_run(coverage, gatherer, trust):
    gatherer.runs(0, 20)
    follow(coverage)
    gatherer.runs(0, 15)
    follow(coverage)
    gatherer.runs(0, 30)
    follow(coverage)
    assert trust() == [(1, at(30), None)]


def record(gatherer, *clocks):
    writer = CopyWriter(ORDERBOOK_DELTAS, gatherer.timeseries)
    writer.write([rows.delta(clock=clock) for clock in clocks])
    writer.close()


def merge(coverage, gatherer, rounds=3):
    recordings = Recordings("orderbook_deltas", {gatherer.name: gatherer.timeseries}, coverage.production)
    for _ in range(rounds):
        recordings.round()
    recordings.close()


def lose_records(gatherer):
    put_back(
        gatherer.timeseries,
        "DELETE FROM orderbook_deltas WHERE ingest_id > 2",
        "SELECT setval(pg_get_serial_sequence('orderbook_deltas', 'ingest_id'), 3, FALSE)",
    )


def test_what_is_not_delivered_is_void_when_a_table_of_records_turns_out_to_be_an_earlier_state(
    coverage, gatherer, trust
):
    gatherer.is_read_into(coverage.production).runs(0, 10)
    record(gatherer, *range(5))
    merge(coverage, gatherer)
    follow(coverage)
    gatherer.runs(0, 20)
    lose_records(gatherer)
    record(gatherer, *range(10, 16))
    merge(coverage, gatherer)
    follow(coverage)
    follow(coverage)
    assert trust() == [(1, at(10), at(10))]
    found_at(coverage, 20)
    gatherer.runs(21, 30, run_id=2)
    follow(coverage)
    assert trust()[1:] == [(2, at(30), None)]


def test_tables_that_find_what_was_found_already_leave_the_next_run_alone(coverage, gatherer, trust, server, templates):
    gatherer.is_read_into(coverage.production).runs(0, 10)
    record(gatherer, *range(5))
    merge(coverage, gatherer)
    follow(coverage)
    anew = replace(coverage, server, templates)
    follow(coverage)
    found_at(coverage, 14)
    anew.runs(15, 20, run_id=2)
    record(anew, *range(20, 23))
    follow(coverage)
    merge(coverage, anew)
    for _ in range(2):
        follow(coverage)
    assert trust() == [(1, at(10), at(10)), (2, at(20), None)]
    with connected(coverage.production) as connection:
        assert value_of(connection, "SELECT max(restarts) FROM sync_cursors") == 1


def test_a_marked_end_that_was_reached_by_another_state_counts_for_nothing(coverage, gatherer, trust):
    gatherer.is_read_into(coverage.production)
    record(gatherer, *range(5))
    merge(coverage, gatherer)
    record(gatherer, *range(5, 8))
    gatherer.runs(0, 10)
    follow(coverage)
    lose_records(gatherer)
    record(gatherer, *range(10, 20))
    merge(coverage, gatherer)
    follow(coverage)
    follow(coverage)
    assert trust() in ([(1, None, at(0))], [(1, at(0), at(0))])
