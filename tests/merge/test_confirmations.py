"""What a deduplicator confirms to a gatherer, through the worker that does it."""

from threading import Event

import pytest

from app.runtime.threads import inline
from tests.gatherers import execute
from tests.servers import end_sessions
from tests.storage import rows
from workers.deduplicator.gatherer_follower import Confirmer


@pytest.fixture
def recorded(recordings):
    """Two tables of gatherer a, with a function that records and merges one more row of each."""
    tables = {
        "orderbook_deltas": lambda number: rows.delta(clock=number),
        "orderbook_snapshots": lambda number: rows.snapshot(at_us=rows.NOON_US + number),
    }
    made = {name: recordings(name) for name in tables}

    def one_more(number):
        for name, recording in made.items():
            recording.record("a", [tables[name](number)])
            recording.round()

    return made, one_more


def merged(made):
    return {name: recording.positions["a"].ingest_id for name, recording in made.items()}


def confirmed(gatherer):
    return dict(execute(gatherer, "SELECT table_name, ingest_id FROM confirmations WHERE ingest_id > 0"))


def test_a_gatherer_whose_database_was_restarted_has_all_tables_confirmed_after_one_failed_round(
    recorded, gatherers, production
):
    made, one_more = recorded
    confirmer = Confirmer("a", [each.sources["a"] for each in made.values()], production, inline, Event())
    one_more(1)
    confirmer.step()
    first = confirmed(gatherers["a"])
    one_more(2)
    assert end_sessions(gatherers["a"], "deduplicator") == len(made)
    confirmer.step()
    confirmer.step()
    second = confirmed(gatherers["a"])
    assert first.keys() == second.keys() == made.keys()
    assert all(second[table] == position > first[table] for table, position in merged(made).items())
