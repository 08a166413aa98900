"""Following gatherers that have nothing new costs production nothing."""

from app.follow.copies import METADATA_COPIES
from app.follow.follower import Follower
from app.follow.journal import JournalFollower
from app.postgres.connection import connected, value_of
from tests.gatherers import at, execute, put_market

ROUNDS = 5


def transactions(production):
    """How many have written something, in all databases: a transaction that writes nothing gets no number."""
    with connected(production) as connection:
        return value_of(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT")


def written(production, follower):
    """By rounds, and by the server's own housekeeping, which does not always come in between."""
    counted = []
    for _ in range(3):
        before = transactions(production)
        for _ in range(ROUNDS):
            follower.round()
        counted.append(transactions(production) - before)
    return min(counted)


def test_rounds_in_which_nothing_comes_write_nothing(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    gatherer.is_read_into(production).runs(0, 10, ended=10).listens_to_all(tickers=["KXTEST-1"])
    journal = JournalFollower(gatherer.name, gatherer.timeseries, production)
    metadata = Follower(gatherer.name, gatherer.metadata, production, METADATA_COPIES)
    for follower in (journal, metadata):
        follower.round()
        follower.round()
    assert written(production, metadata) == 0
    # Both databases are of one server, so how far that has written is told each time.
    assert written(production, journal) <= ROUNDS
    journal.close()
    metadata.close()


def test_what_had_arrived_before_it_was_looked_at_counts_at_once(gatherer, production):
    gatherer.is_read_into(production)
    journal = JournalFollower(gatherer.name, gatherer.timeseries, production)
    for minutes in (10, 20):
        gatherer.runs(0, minutes)
        journal.round()
        assert execute(production, "SELECT delivered_until FROM gatherer_runs") == [(at(minutes),)]
    journal.close()
