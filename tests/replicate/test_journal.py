import pytest

from app.postgres.connection import claimed, connected
from app.replicate.journal import JournalFollower
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.gatherers import Gatherer, at, execute
from tests.storage import rows


@pytest.fixture
def follower(gatherer, production):
    gatherer.is_read_into(production)
    return JournalFollower(gatherer.name, gatherer.timeseries, production)


def delivered(production):
    return execute(production, "SELECT run_id, delivered_until FROM gatherer_runs ORDER BY run_id")


def record(gatherer, clock=1):
    writer = CopyWriter(ORDERBOOK_DELTAS, gatherer.timeseries)
    writer.write([rows.delta(clock=clock)])
    writer.close()


def arrive(gatherer, production, rows_missing=0, shard=0):
    """The deduplicator has read on, but for so many rows."""
    query = "SELECT ingest_id FROM orderbook_deltas ORDER BY 1 DESC OFFSET %s LIMIT 1"
    ((ingest_id,),) = execute(gatherer.timeseries, query, (rows_missing,))
    execute(
        production,
        """INSERT INTO sync_cursors (gatherer, table_name, shard, system_identifier, ingest_id)
        SELECT %s, 'orderbook_deltas', %s, system_identifier, %s FROM pg_control_system()
        ON CONFLICT (gatherer, table_name, shard) DO UPDATE SET ingest_id = excluded.ingest_id""",
        (gatherer.name, shard, ingest_id),
    )


def test_the_journal_is_copied_and_what_changes_in_it_too(gatherer, production, follower):
    gatherer.runs(0, 10).listens("orderbook_delta", "KXTEST-1").misses(3, None, number=1)
    assert follower.round() == {"subscriptions": 1, "gaps": 1, "runs": 1}
    gatherer.runs(0, 20, ended=20).listens("orderbook_delta", "KXTEST-1", until=15).misses(3, 4, number=1)
    follower.round()
    assert execute(production, "SELECT gatherer, recorded_until, ended_at FROM gatherer_runs") == [
        ("a", at(20), at(20))
    ]
    assert execute(production, "SELECT ticker, ended_at FROM gatherer_subscriptions") == [("KXTEST-1", at(15))]
    assert execute(production, "SELECT started_at, ended_at, sid FROM gatherer_gaps") == [(at(3), at(4), -1)]


def test_what_was_recorded_counts_once_all_of_it_has_arrived(gatherer, production, follower):
    record(gatherer)
    gatherer.runs(0, 10)
    follower.round()
    assert delivered(production) == [(1, None)]
    record(gatherer, clock=2)
    gatherer.runs(0, 20)
    arrive(gatherer, production, rows_missing=1)
    follower.round()
    assert delivered(production) == [(1, at(10))]
    follower.round()
    assert delivered(production) == [(1, at(10))]
    arrive(gatherer, production)
    follower.round()
    assert delivered(production) == [(1, at(20))]


def test_an_empty_table_is_one_only_when_it_was_looked_into(gatherer, production):
    follower = JournalFollower(gatherer.name, gatherer.timeseries, production)
    gatherer.runs(0, 10)
    follower.round()
    assert delivered(production) == [(1, None)]
    gatherer.is_read_into(production)
    follower.round()
    assert delivered(production) == [(1, at(10))]


def test_the_shard_that_is_behind_counts(gatherer, production, follower):
    record(gatherer)
    record(gatherer, clock=2)
    gatherer.runs(0, 10)
    arrive(gatherer, production, shard=0)
    arrive(gatherer, production, rows_missing=1, shard=1)
    follower.round()
    assert delivered(production) == [(1, None)]


def test_what_a_restored_database_has_lost_never_counts(gatherer, production, follower):
    record(gatherer)
    gatherer.runs(0, 10)
    follower.round()
    gatherer.runs(0, 5)
    arrive(gatherer, production)
    follower.round()
    follower.round()
    assert delivered(production) == [(1, at(5))]


def test_a_rebuilt_database_is_read_from_its_beginning(server, templates, gatherer, production, follower):
    record(gatherer)
    gatherer.runs(0, 10).listens("orderbook_delta", "KXTEST-1").listens("orderbook_delta", "KXTEST-2")
    follower.round()
    rebuilt = Gatherer(server, templates, gatherer.name)
    JournalFollower(rebuilt.name, rebuilt.timeseries, production).round()
    execute(production, "UPDATE gatherer_contacts SET state_since = %s", [at(14)])
    rebuilt.runs(15, 20, run_id=2).listens("orderbook_delta", "KXTEST-3", run_id=2)
    JournalFollower(rebuilt.name, rebuilt.timeseries, production).round()
    assert delivered(production) == [(1, None), (2, at(20))]
    assert execute(production, "SELECT count(*) FROM gatherer_subscriptions") == [(3,)]
    assert execute(production, "SELECT recorded_until FROM gatherer_runs WHERE run_id = 1") == [(at(0),)]


def test_of_several_processes_one_follows_a_gatherer_s_journal(gatherer, production, follower):
    gatherer.runs(0, 10).misses(3, 4)
    with connected(production) as other, claimed(other, "journal a"):
        assert follower.round() == {}
    assert delivered(production) == []
    with connected(production) as other, claimed(other, "journal b"):
        assert follower.round()["gaps"] == 1
