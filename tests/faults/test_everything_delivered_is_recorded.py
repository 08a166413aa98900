"""The promise of one gatherer: what the exchange sent it is in its database, and what is missing is in its gaps."""

import json

import pytest

from tests.faults.gathering import Databases, assert_exact, exchange, gatherer, let_pass, settings_of, stop_in_order
from tests.processes import wait_until

CONNECTIONS = 150
# A fault of frames befalls every connection that has such a channel; the numbers are connections in the order in which
# they came.
FAULTS = [
    {"fault": "drop", "channels": ["orderbook_delta"], "connections": list(range(30, 60)), "skip": 4},
    {"fault": "drop", "channels": ["trade"], "skip": 5},
    {"fault": "duplicate", "count": 2, "skip": 6},
    {"fault": "reorder", "channels": ["orderbook_delta"], "connections": list(range(60, 70)), "skip": 5},
    {"fault": "corrupt", "how": "json", "channels": ["orderbook_delta"], "connections": list(range(70, 90)), "skip": 3},
    {"fault": "truncate", "channels": ["ticker"], "skip": 10},
    {"fault": "untimed", "connections": list(range(90, 110)), "count": 2, "skip": 3},
    {"fault": "close", "connections": [20, 21, 22]},
    {"fault": "cut", "connections": [23]},
    {"fault": "stall", "seconds": 3, "connections": [26]},
    {"fault": "half_open", "connections": [27]},
    {"fault": "rest_error", "status": 503, "count": 3},
]
# First and alone: a subscription that lacks something already says that as the cause.
SUBSCRIPTION_FAULTS = [
    {"fault": "subscription_error", "code": 10, "channels": ["trade"]},
    {"fault": "subscription_error", "code": 25, "channels": ["orderbook_delta"], "connections": list(range(10, 20))},
]


def wait_for_gaps(databases, *expected):
    wait_until(lambda: causes(databases) >= set(expected), what=f"gaps: {expected}")


def causes(databases):
    return {cause for (cause,) in databases.rows("SELECT DISTINCT cause FROM gaps")}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
def test_with_150_connections_20_000_markets_and_every_fault(seed, server, templates, tmp_path):
    databases = Databases(server, templates)
    with exchange(tmp_path, "--seed", seed, "--markets", 20_000, "--rate", 1_500, "--heartbeat", 2) as simulator:
        settings = settings_of(simulator, databases, tmp_path / "data", KALSHI_STALE_SECONDS=8)
        with gatherer({**settings, "KALSHI_WS_CONNECTIONS": CONNECTIONS}) as recorder:
            recorder.wait_until_ready()
            for fault in SUBSCRIPTION_FAULTS:
                simulator.inflict(**fault)
            wait_for_gaps(databases, "overflow", "channel_error")
            for fault in FAULTS:
                simulator.inflict(**fault)
            let_pass(simulator, 12)
            wait_for_gaps(databases, "sequence", "disconnected")
            recorder.wait_until_ready()
            let_pass(simulator, 3)
            stop_in_order(simulator, recorder)
        report = assert_exact(simulator, databases)
    assert databases.value("SELECT count(*) FROM gaps WHERE ended_at < started_at") == 0
    assert databases.value("SELECT count(*) FROM quarantine") > 0
    assert report["books"]["compared"] > 100, json.dumps(report["books"])[:500]
