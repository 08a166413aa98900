"""Production is put back to what it was, and a gatherer has dropped what it was told is safe: that is said."""

from datetime import UTC, datetime, timedelta

import pytest

from app.merge.position import BEGINNING, Shard
from app.postgres.connection import connected
from tests.gatherers import execute
from tests.storage import rows

HOUR = timedelta(hours=1)
NOON = datetime.fromtimestamp(rows.NOON_US // 1_000_000, UTC)
# Until a row that was dropped can have been received.
LATER = timedelta(minutes=1)
DROP = "SELECT drop_chunk('orderbook_deltas', %s, 1000000)"
CURSORS = "SELECT min(system_identifier), sum(restarts) FROM sync_cursors WHERE gatherer = 'a'"


def delta(hour):
    return rows.delta(clock=hour, at_us=rows.NOON_US + hour * 3_600_000_000 + 1)


@pytest.fixture
def recording(recordings, damaged):
    """Of four hours and, after one of silence, another, merged and told to be safe."""
    made = recordings("orderbook_deltas")
    for hour in (0, 1, 2, 3, 5):
        made.record("a", [delta(hour)])
        made.round()
    assert made.sources["a"].confirm(made.positions["a"])
    return made


@pytest.fixture
def losses(production):
    return lambda: execute(production, "SELECT gatherer, table_name, started_at, ended_at FROM gatherer_losses")


def drop(gatherer, *hours):
    for hour in hours:
        assert execute(gatherer, DROP, (NOON + hour * HOUR,)) == [(True,)]


def put_back(production, recording, position, delivered_until):
    """Its cursor, and what it knows to be delivered."""
    with connected(production) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_cursors SET system_identifier = %s, ingest_id = %s, probe = %s WHERE gatherer = 'a'", position
        )
        cursor.execute(
            "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)"
            " VALUES ('a', 1, %s, %s, %s)",
            (NOON, NOON + 5 * HOUR, delivered_until),
        )
    recording.forget()


def earlier(recording):
    """Where it had read one row."""
    return recording.positions["a"]._replace(ingest_id=1, probe=1)


def begun_anew(recording):
    return recording.positions["a"]._replace(ingest_id=0, probe=None)


def test_what_was_dropped_and_is_not_known_to_be_delivered_is_lost(recording, damaged, production, losses):
    drop(damaged, 0, 1, 2)
    put_back(production, recording, earlier(recording), NOON + 0.5 * HOUR)
    recording.catch_up()
    assert losses() == [("a", "orderbook_deltas", NOON + 0.5 * HOUR, NOON + 3 * HOUR + LATER)]


@pytest.mark.parametrize("dropped", [[0], [0, 1, 2, 3, 5]], ids=["some of it", "all of it"])
def test_a_production_that_was_made_anew_lacks_all_that_was_dropped(recording, damaged, production, losses, dropped):
    drop(damaged, *dropped)
    put_back(production, recording, BEGINNING, None)
    recording.catch_up()
    (loss,) = losses()
    assert loss[2] < NOON
    assert loss[3] == NOON + (dropped[-1] + 1) * HOUR + LATER


def test_each_shard_notices_it_and_it_is_said_once(recordings, recording, damaged, production, losses):
    drop(damaged, 0)
    execute(production, "DELETE FROM sync_cursors")
    recording.forget()
    for number in range(2):
        recordings("orderbook_deltas", shard=Shard(number, 2)).round()
    assert len(losses()) == 1


def test_nothing_is_lost_that_was_delivered(recording, damaged, production, losses):
    drop(damaged, 0, 1, 2)
    put_back(production, recording, earlier(recording), NOON + 4 * HOUR)
    recording.catch_up()
    assert losses() == []


def test_who_was_so_long_away_that_all_was_dropped_has_lost_nothing(recording, damaged, production, losses):
    position = recording.positions["a"]
    drop(damaged, 0, 1, 2, 3, 5)
    put_back(production, recording, position, NOON + 2 * HOUR)
    recording.record("a", [delta(200)])
    recording.catch_up()
    assert losses() == []


def test_nothing_is_lost_by_reading_again_because_somebody_says_so(recording, damaged, production, losses):
    drop(damaged, 0, 1)
    put_back(production, recording, begun_anew(recording), NOON + 4 * HOUR)
    recording.catch_up()
    assert losses() == []


def test_what_is_dropped_while_it_begins_anew_is_lost_too(recording, damaged, production, losses):
    drop(damaged, 0, 1)
    put_back(production, recording, earlier(recording), NOON)
    recording.round()
    drop(damaged, 2)
    recording.catch_up()
    assert [loss[3] for loss in losses()] == [NOON + 2 * HOUR + LATER, NOON + 3 * HOUR + LATER]


def test_what_was_dropped_after_a_table_was_found_empty_is_lost(recording, damaged, production, losses):
    drop(damaged, 0)
    put_back(production, recording, begun_anew(recording), NOON)
    recording.catch_up()
    assert [loss[3] for loss in losses()] == [NOON + HOUR + LATER]


def test_an_empty_table_is_looked_into_once(recordings, production, losses):
    recording = recordings("orderbook_deltas")
    recording.round()
    ((identifier, restarts),) = execute(production, CURSORS)
    assert (identifier > 0, restarts) == (True, 0)
    assert recording.sources["a"].pull(recording.positions["a"]).is_empty
    assert losses() == []
