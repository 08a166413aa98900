"""Production is put back to what it was, and a gatherer has dropped what it was told is safe: that is said."""

from datetime import UTC, datetime, timedelta

import pytest

from app.postgres.connection import connected
from tests.gatherers import execute
from tests.store import rows

HOUR = timedelta(hours=1)
NOON = datetime.fromtimestamp(rows.NOON_US // 1_000_000, UTC)
DROP = "SELECT drop_chunk('orderbook_deltas', %s, 1000000)"


def delta(hour):
    return rows.delta(clock=hour, at_us=rows.NOON_US + hour * 3_600_000_000 + 1)


@pytest.fixture
def recording(recordings, damaged):
    """Of an hour and four more, merged, and told to be safe."""
    made = recordings("orderbook_deltas")
    for hour in range(5):
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


def put_back(production, recording, ingest_id, delivered_until):
    """The cursor to an earlier row, of which it knows the digest."""
    with connected(production) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_cursors SET ingest_id = %s, probe = %s WHERE gatherer = 'a'", (ingest_id, ingest_id and 1)
        )
        cursor.execute(
            "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)"
            " VALUES ('a', 1, %s, %s, %s)",
            (NOON, NOON + 5 * HOUR, delivered_until),
        )
    recording.forget()


@pytest.mark.parametrize("ingest_id", [0, 1], ids=["at its beginning", "later"])
def test_what_was_dropped_and_is_not_known_to_be_delivered_is_lost(recording, damaged, production, losses, ingest_id):
    drop(damaged, 0, 1, 2)
    put_back(production, recording, ingest_id, NOON + 0.5 * HOUR)
    recording.catch_up()
    assert losses() == [("a", "orderbook_deltas", NOON + 0.5 * HOUR, NOON + 3 * HOUR + timedelta(minutes=1))]


def test_a_production_that_knows_of_no_delivery_has_lost_all_that_was_dropped(recording, damaged, production, losses):
    drop(damaged, 0)
    put_back(production, recording, 0, None)
    recording.catch_up()
    (loss,) = losses()
    assert loss[2] < NOON
    assert loss[3] == NOON + HOUR + timedelta(minutes=1)


def test_a_row_with_a_strange_time_hides_no_loss(recording, damaged, production, losses):
    recording.record("a", [delta(-1_000)])
    recording.round()
    drop(damaged, 0, 1)
    put_back(production, recording, 0, None)
    recording.catch_up()
    assert [loss[3] for loss in losses()] == [NOON + 2 * HOUR + timedelta(minutes=1)]


@pytest.mark.parametrize("ingest_id", [0, 1], ids=["from its beginning", "from a row that is gone"])
def test_nothing_is_lost_that_was_delivered(recording, damaged, production, losses, ingest_id):
    drop(damaged, 0, 1, 2)
    put_back(production, recording, ingest_id, NOON + 4 * HOUR)
    recording.catch_up()
    assert losses() == []


def test_nothing_is_lost_by_a_production_that_is_read_into_for_the_first_time(recordings, losses):
    recording = recordings("orderbook_deltas")
    recording.record("a", [delta(0)])
    recording.catch_up()
    assert losses() == []
