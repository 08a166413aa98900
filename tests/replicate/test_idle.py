"""Following gatherers that have nothing new costs production nothing."""

from app.postgres.connection import connected
from app.replicate.follower import METADATA_COPIES, Follower
from app.replicate.journal import SAVE_CONTACT, JournalFollower
from tests.gatherers import at, execute, put_market

ROUNDS = 5


TABLES = "SELECT oid::REGCLASS::TEXT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::REGNAMESPACE"


def rows_of(*databases):
    """Where each row is and which transaction wrote it: other databases of the server, and its own
    housekeeping, write too."""
    found = set()
    for number, database in enumerate(databases):
        for (table,) in execute(database, TABLES):
            rows = execute(database, f"SELECT ctid::TEXT, xmin::TEXT FROM {table}")
            found.update((number, table, *row) for row in rows)
    return found


def written(follower, *databases):
    """Tables of rows that were written, or that went, once for each row."""
    before = rows_of(*databases)
    for _ in range(ROUNDS):
        follower.round()
    return [table for _, table, *_ in before ^ rows_of(*databases)]


def test_rounds_in_which_nothing_comes_write_nothing(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    gatherer.is_read_into(production).runs(0, 10, ended=10).listens_to_all(tickers=["KXTEST-1"])
    journal = JournalFollower(gatherer.name, gatherer.timeseries, production)
    metadata = Follower(gatherer.name, gatherer.metadata, production, METADATA_COPIES)
    for follower in (journal, metadata):
        follower.round()
        follower.round()
    databases = (production, gatherer.timeseries, gatherer.metadata)
    assert written(metadata, *databases) == []
    # How far the gatherer's server has written is told: here other databases write to it.
    assert set(written(journal, *databases)) <= {"gatherer_contacts"}
    journal.close()
    metadata.close()


def test_a_contact_is_written_when_it_is_news_and_now_and_then(production):
    """Not in every round: here the server's position is what a test says, and not what others write to it."""

    def contact(wal_position, cursor):
        cursor.execute(SAVE_CONTACT, ("a", 1, 2, 3, wal_position))
        return cursor.rowcount

    with connected(production) as connection:
        written = []
        for wal_position in (10, 10, 11, 11):
            with connection, connection.cursor() as cursor:
                written.append(contact(wal_position, cursor))
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE gatherer_contacts SET contacted_at = contacted_at - INTERVAL '11 seconds'")
            written.append(contact(11, cursor))
    assert written == [1, 0, 1, 0, 1]


def test_what_had_arrived_before_it_was_looked_at_counts_at_once(gatherer, production):
    gatherer.is_read_into(production)
    journal = JournalFollower(gatherer.name, gatherer.timeseries, production)
    for minutes in (10, 20):
        gatherer.runs(0, minutes)
        journal.round()
        assert execute(production, "SELECT delivered_until FROM gatherer_runs") == [(at(minutes),)]
    journal.close()
