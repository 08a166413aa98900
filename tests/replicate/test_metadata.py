from app.postgres.connection import claimed, connected
from app.replicate.follower import METADATA_COPIES, Follower
from tests.gatherers import Gatherer, execute, put_market


def follow(gatherer, production, batch_rows=5_000):
    return Follower(gatherer.name, gatherer.metadata, production, METADATA_COPIES, batch_rows).round()


def titles(production):
    return dict(execute(production, "SELECT ticker, title FROM markets"))


def test_rows_come_over_whole_and_only_once(gatherer, production):
    execute(
        gatherer.metadata,
        "INSERT INTO series (ticker, title, updated_at, details) VALUES ('KX', 'Series', now(), '{\"strike\": 1.50}')",
    )
    put_market(gatherer.metadata, "KXTEST-1")
    assert follow(gatherer, production) == {"series": 1, "events": 0, "markets": 1}
    assert follow(gatherer, production) == {"series": 0, "events": 0, "markets": 0}
    for table in ("series", "markets"):
        columns = "to_jsonb(t) - 'ingest_id' - 'production_status'"
        query = f"SELECT {columns} FROM {table} AS t"
        assert execute(production, query) == execute(gatherer.metadata, query)


def test_it_goes_on_batch_after_batch(gatherer, production):
    for number in range(7):
        put_market(gatherer.metadata, f"KXTEST-{number}")
    assert follow(gatherer, production, batch_rows=3)["markets"] == 7
    assert len(titles(production)) == 7


def test_of_several_processes_one_follows_a_gatherer_s_metadata(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    with connected(production) as other, claimed(other, "follower a"):
        assert follow(gatherer, production) == {}
    with connected(production) as other, claimed(other, "follower b"):
        assert follow(gatherer, production)["markets"] == 1


def test_the_newest_wins_whoever_brings_it_and_when(server, templates, gatherer, production):
    other = Gatherer(server, templates, "b")
    put_market(gatherer.metadata, "KXTEST-1", updated=2, title="newest")
    put_market(other.metadata, "KXTEST-1", updated=1, title="older")
    follow(gatherer, production)
    follow(other, production)
    assert titles(production) == {"KXTEST-1": "newest"}
    put_market(other.metadata, "KXTEST-1", updated=3, title="newer still")
    follow(other, production)
    assert titles(production) == {"KXTEST-1": "newer still"}


def test_a_cached_answer_that_came_later_does_not_win(server, templates, gatherer, production):
    other = Gatherer(server, templates, "b")
    put_market(gatherer.metadata, "KXTEST-1", changed=10, updated=11, title="fresh")
    put_market(other.metadata, "KXTEST-1", changed=5, updated=12, title="cached")
    follow(gatherer, production)
    follow(other, production)
    assert titles(production) == {"KXTEST-1": "fresh"}


def test_an_update_can_be_read_on_in_production_too(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    put_market(gatherer.metadata, "KXTEST-2")
    follow(gatherer, production)
    (last,) = execute(production, "SELECT max(ingest_id) FROM markets")[0]
    put_market(gatherer.metadata, "KXTEST-1", updated=1, title="changed")
    follow(gatherer, production)
    assert execute(production, "SELECT ticker FROM markets WHERE ingest_id > %s", (last,)) == [("KXTEST-1",)]


def test_the_status_of_production_follows(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1", status="disputed")
    follow(gatherer, production)
    assert execute(production, "SELECT status, production_status FROM markets") == [("disputed", "closed")]


def test_a_database_that_is_older_than_when_it_was_read_is_read_anew(server, templates, gatherer, production):
    for number in range(3):
        put_market(gatherer.metadata, f"KXTEST-{number}")
    follow(gatherer, production)
    rebuilt = Gatherer(server, templates, gatherer.name)
    put_market(rebuilt.metadata, "KXTEST-9")
    assert follow(rebuilt, production)["markets"] == 1
    assert follow(rebuilt, production)["markets"] == 0
    assert len(titles(production)) == 4


def test_ids_that_an_older_state_gave_to_other_rows_are_read_anew(gatherer, production):
    for number in range(3):
        put_market(gatherer.metadata, f"KXTEST-{number}", updated=number)
    follow(gatherer, production)
    execute(
        gatherer.metadata,
        "DELETE FROM markets WHERE ingest_id > 1; ALTER TABLE markets ALTER ingest_id RESTART WITH 2",
    )
    for number in range(1, 5):
        put_market(gatherer.metadata, f"KXTEST-{number}", updated=10 + number, title="known again")
    assert follow(gatherer, production)["markets"] == 5
    assert list(titles(production).values()).count("known again") == 4
    assert follow(gatherer, production)["markets"] == 0


def test_a_row_that_is_older_than_what_was_read_before_it_is_no_sign_of_an_earlier_state(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1", updated=10)
    follow(gatherer, production)
    put_market(gatherer.metadata, "KXTEST-2", updated=5)
    assert follow(gatherer, production)["markets"] == 1
    assert follow(gatherer, production)["markets"] == 0


def test_another_server_is_read_from_its_beginning(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    follow(gatherer, production)
    execute(production, "UPDATE sync_cursors SET system_identifier = 1, ingest_id = 1000; DELETE FROM markets")
    follow(gatherer, production)
    assert "KXTEST-1" in titles(production)
