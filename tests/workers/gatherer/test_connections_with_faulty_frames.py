"""Frames that are lost, swapped or spoilt: what was delivered is recorded, and what was not is in the journal."""

import pytest

from app.postgres.connection import connected
from tests.processes import wait_until
from tests.simulator.judging import Recorded, found
from tests.simulator.running import running_simulator
from tests.workers.listening import CAUSE, CONN, ENDED, MARKETS, MISSING, listening, ordinals, tampered

FEWEST_DELTAS = 100
FAULTS = [
    ("drop", {"count": 3}),
    ("reorder", {}),
    ("corrupt", {"how": "json"}),
    ("corrupt", {"how": "bytes"}),
    ("truncate", {}),
    ("lose", {}),
    ("untimed", {"count": 5}),
]


@pytest.fixture
def simulator(tmp_path):
    with running_simulator(tmp_path, "--markets", "150", "--rate", "600", "--tier", "unlimited") as running:
        yield running


def inflict_all(simulator, ordinal):
    """One after the other on the order books of one connection, until each has had its frames."""
    for fault, details in FAULTS:
        fault_id = simulator.inflict(fault, connections=[ordinal], types=["orderbook_delta"], **details)["fault_id"]
        wanted = details.get("count", 1)
        wait_until(lambda: tampered(simulator, ordinal, fault_id) >= wanted, what=fault)


def test_everything_that_was_delivered_is_recorded_and_what_was_not_is_a_gap(simulator, timeseries):
    with listening(simulator, connections=9) as recorder:
        tickers = simulator.tickers()
        recorder.say(want=tickers)
        recorder.wait_for_all(len(tickers))
        ill = ordinals(simulator, "orderbook_delta")[0]
        inflict_all(simulator, ill)
        for channel in ("trade", "ticker"):
            ordinal = ordinals(simulator, channel)[0]
            fault_id = simulator.inflict("drop", connections=[ordinal], types=[channel])["fault_id"]
            wait_until(lambda: tampered(simulator, ordinal, fault_id), what="a frame dropped")
        wait_until(lambda: recorder.gaps_of("trade"), what="a gap of trades")
        recorder.wait_for_all(len(tickers))
        wait_until(lambda: recorder.state()["rows"]["orderbook_deltas"] > FEWEST_DELTAS, what="deltas")
        simulator.stop_the_clock()
        recorder.drain(simulator)
        gaps, trades = recorder.gaps_of("book"), recorder.gaps_of("trade")
        quarantined = recorder.rows("quarantine")
        recorder.say(write=timeseries.reveal())
    assert simulator.stop() == 0
    assert {gap[CAUSE] for gap in gaps} == {"sequence", "unreadable"}
    assert all(gap[ENDED] for gap in (*gaps, *trades))
    assert max(gap[MISSING] for gap in gaps) >= 3
    assert all(0 < gap[MARKETS] < len(tickers) for gap in gaps)
    assert len(quarantined) == 3
    assert len({gap[CONN] for gap in gaps}) == 1
    with connected(timeseries) as connection:
        report = Recorded(simulator.truth, connection).judge()
    assert report["ok"], found(report)
    assert report["tables"][0]["found"] > FEWEST_DELTAS
