"""Whether a gatherer's database is still the one that was read, and what is told to it."""

import pytest

from app.errors import DatabaseError
from app.merge.source import content_of, split_rows
from app.postgres.connection import connected, value_of
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.servers import end_sessions, new_database
from tests.storage import rows
from tests.storage.reading import rows_of


def deltas(*clocks, **facts):
    return [rows.delta(clock=clock, **facts) for clock in clocks]


@pytest.fixture
def recording(recordings):
    made = recordings("orderbook_deltas")
    made.record("a", deltas(*range(10)))
    made.round()
    return made


@pytest.fixture
def clocks(production):
    def read():
        with connected(production) as connection:
            return sorted(row[2] for row in rows_of(connection, PRODUCTION_ORDERBOOK_DELTAS))

    return read


def restore(gatherer, *statements):
    """Changes the database as if it were an older state of itself, with what came after that."""
    with connected(gatherer) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


FORGET_FIVE = (
    "DELETE FROM orderbook_deltas WHERE ingest_id > 5",
    "SELECT setval(pg_get_serial_sequence('orderbook_deltas', 'ingest_id'), 6, FALSE)",
)


def cursor_of(production, column="ingest_id"):
    with connected(production) as connection:
        return value_of(connection, f"SELECT {column} FROM sync_cursors WHERE gatherer = 'a'")


@pytest.mark.parametrize("written_since", [0, 3, 5, 20], ids=lambda count: f"{count} rows written since")
def test_an_older_state_is_noticed_and_read_anew(recording, gatherers, production, clocks, written_since):
    restore(gatherers["a"], *FORGET_FIVE)
    recording.record("a", deltas(*range(100, 100 + written_since), at_us=rows.NOON_US + 5_000_000))
    assert recording.round() == (0, 0, 0)
    assert cursor_of(production, "restarts") == 1
    recording.catch_up()
    assert clocks() == [*range(10), *range(100, 100 + written_since)]
    assert cursor_of(production) == 5 + written_since


def test_a_database_that_was_made_anew_is_read_from_its_beginning(recording, gatherers, clocks, server, templates):
    anew = new_database(server, next(dsn for kind, dsn in templates.items() if kind.name == "TIMESERIES"))
    CopyWriter(ORDERBOOK_DELTAS, anew).write(deltas(*range(50, 70)))
    recording.sources["a"].close()
    recording.sources["a"]._dsn = anew
    recording.round()
    recording.catch_up()
    assert clocks() == [*range(10), *range(50, 70)]


def test_another_server_s_database_is_another_source(recording, production):
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE sync_cursors SET system_identifier = 1 WHERE gatherer = 'a'")
        connection.commit()
    recording.forget()
    assert recording.round() == (0, 0, 0)
    assert recording.round() == (10, 0, 0)


def test_a_database_whose_old_rows_were_dropped_is_read_on(recording, gatherers, clocks):
    restore(gatherers["a"], "DELETE FROM orderbook_deltas WHERE ingest_id < 10")
    recording.record("a", deltas(10))
    assert recording.round() == (1, 1, 0)
    restore(gatherers["a"], "DELETE FROM orderbook_deltas")
    recording.record("a", deltas(11))
    recording.round()
    recording.catch_up()
    assert clocks() == list(range(12))


def test_a_gatherer_is_told_what_is_safe(recording, gatherers, production):
    position = recording.positions["a"]
    assert recording.sources["a"].confirm(position)
    with connected(gatherers["a"]) as connection:
        query = "SELECT ingest_id FROM confirmations WHERE table_name = 'orderbook_deltas'"
        assert value_of(connection, query) == position.ingest_id == 10


def test_an_older_state_is_told_nothing_until_it_was_read_anew(recording, gatherers):
    position = recording.positions["a"]
    restore(gatherers["a"], *FORGET_FIVE)
    recording.record("a", deltas(*range(100, 110)))
    assert not recording.sources["a"].confirm(position)
    with connected(gatherers["a"]) as connection:
        assert value_of(connection, "SELECT count(*) FROM confirmations") == 0


def test_a_gatherer_that_is_down_is_an_error_and_read_on_when_it_is_back(recording, gatherers):
    assert end_sessions(gatherers["a"], "deduplicator") == 1
    with pytest.raises(DatabaseError, match="Reading orderbook_deltas of a failed"):
        recording.sources["a"].pull(recording.positions["a"])
    recording.record("a", deltas(10))
    assert recording.round("a") == (1, 1, 0)


def test_rows_are_taken_apart_and_put_together(recording):
    content = recording.sources["a"].pull(recording.positions["b"]).content
    parts = list(split_rows(content))
    assert len(parts) == 10
    assert content_of(parts) == content
