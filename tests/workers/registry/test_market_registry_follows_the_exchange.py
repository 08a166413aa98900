"""Against the simulator, in which all that can happen to a market does."""

import threading
from contextlib import contextmanager

import pytest

from app.normalize.values import rfc3339_us
from tests.processes import wait_until
from tests.simulator.running import Client, running_simulator
from tests.workers.registry_process import running_registry

SPEED = 20
CHANNELS = ["market_lifecycle_v2", "multivariate_market_lifecycle"]
UNSETTLED = ("unopened", "open", "paused", "closed")


@contextmanager
def forwarding(simulator, registry):
    """Two connections, each handing on what it hears in its own time, as a gatherer's do."""
    lock = threading.Lock()

    def forward(connection):
        for frame in connection:
            with lock:
                registry.tell("frame", frame.encode())

    with simulator.connect() as one, simulator.connect() as another:
        threads = [threading.Thread(target=forward, args=(connection,)) for connection in (one, another)]
        for connection, thread in zip((one, another), threads, strict=True):
            Client(connection).ask("subscribe", channels=CHANNELS)
            thread.start()
        yield
        one.close()
        another.close()
        for thread in threads:
            thread.join()


@pytest.fixture
def simulator(tmp_path):
    options = ("--markets", 300, "--rate", 20, "--speed", SPEED, "--tier", "unlimited", "--hidden-seconds", 3)
    with running_simulator(tmp_path, *options) as running:
        yield running


def registry_of(simulator, **options):
    start_us = simulator.state()["now_us"]
    return running_registry(simulator.where["rest"], start_us=start_us, speed=SPEED, **options)


def truth(simulator):
    """Of every market that is not settled, what REST says."""
    pages = [simulator.rest("/markets", limit=1_000, status=status).body["markets"] for status in UNSETTLED]
    return {market["ticker"]: market for page in pages for market in page}


def differences(state, expected):
    """Of what is known, and of what is stored, to what REST shows."""
    statuses = {(ticker, market["status"]) for ticker, market in expected.items()}
    known = {(ticker, state["statuses"].get(ticker)) for ticker in expected}
    stored = {(ticker, state["rows"]["markets"].get(ticker, {}).get("status")) for ticker in expected}
    return [*((known ^ statuses) | (stored ^ statuses))]


def standing_still(simulator, registry):
    """What REST shows then, without those that are just opening or closing: it tells their times in whole seconds."""
    now_us = simulator.stop_the_clock()["now_us"]
    registry.tell("stand", str(now_us).encode())

    def is_steady(market):
        moments_us = [rfc3339_us(market["open_time"]), rfc3339_us(market["close_time"])]
        return all(abs(now_us - moment_us) > 2_000_000 for moment_us in moments_us)

    return {ticker: market for ticker, market in truth(simulator).items() if is_steady(market)}


def agreeing(registry, expected):
    return without(registry, lambda state: differences(state, expected))


def without(registry, remainder):
    """The state once nothing of that remains; else what does."""
    seen = []

    def is_done():
        state = registry.state()
        seen[:] = [state, remainder(state)]
        return not seen[1]

    try:
        wait_until(is_done, 30)
    except AssertionError:
        pytest.fail(f"this remains: {seen[1]}")
    return seen[0]


def test_after_a_busy_time_it_knows_what_rest_shows(simulator):
    with registry_of(simulator) as registry, forwarding(simulator, registry):
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        seen = registry.wait_for(
            lambda state: sum(change[1] == "settled" for change in state["changes"]) > 5, "markets' ends"
        )
        assert {"created", "status_change", "settled"} == {change[1] for change in seen["changes"]}
        expected = standing_still(simulator, registry)
        state = agreeing(registry, expected)
        active = {ticker for ticker, market in expected.items() if market["status"] == "active"}
        assert set(state["active"]) & set(expected) == active
        assert state["active"] == sorted(state["active"])
        assert state["quarantined"] == []
        events = {market["event_ticker"] for market in expected.values()}
        state = without(registry, lambda state: events - set(state["rows"]["events"]))
        assert {row["series_ticker"] for row in state["rows"]["events"].values()} <= set(state["rows"]["series"])
        assert registry.stop() == 0


def settled_since(simulator, start_us):
    shown = simulator.rest("/markets", limit=1_000, status="settled", min_settled_ts=start_us // 1_000_000)
    return {market["ticker"] for market in shown.body["markets"]}


def test_what_settled_while_nobody_recorded_is_learnt_afterwards(simulator, tmp_path):
    start_us = simulator.state()["now_us"]
    wait_until(lambda: len(settled_since(simulator, start_us)) > 5, what="markets' ends")
    settled = settled_since(simulator, start_us)
    to_be_asked = tmp_path / "settlements_since"
    options = {"last_recorded_us": start_us, "settlements_since": str(to_be_asked), "start_us": start_us}
    with running_registry(simulator.where["rest"], **options) as registry:

        def unknown(state):
            markets = state["rows"]["markets"]
            return [ticker for ticker in settled if markets.get(ticker, {}).get("status") != "finalized"]

        state = without(registry, unknown)
        wait_until(lambda: not to_be_asked.exists(), what="the end of asking")
        assert settled.isdisjoint(state["statuses"])  # nobody has to follow them


def test_every_market_is_to_be_recorded_before_it_opens(simulator):
    with registry_of(simulator) as registry, forwarding(simulator, registry):
        state = registry.wait_for(
            lambda state: sum(change[2] == "initialized" and change[3] == "active" for change in state["changes"]) > 20,
            "openings",
        )
    is_recorded = {}
    for ticker, _, old_status, new_status, _, is_to_be_recorded in state["changes"]:
        if (old_status, new_status) == ("initialized", "active"):
            assert is_recorded[ticker], ticker
        is_recorded[ticker] = is_to_be_recorded


def test_reconciliation_alone_gets_there_too(simulator):
    intervals = {"reconcile_seconds": 1, "full_reconcile_seconds": 1, "events_seconds": 1}
    with registry_of(simulator, **intervals) as registry:
        registry.wait_for(lambda state: sum(change[1] == "settled" for change in state["changes"]) > 5, "markets' ends")
        expected = standing_still(simulator, registry)
        agreeing(registry, expected)


def test_combos_that_no_stream_told_of_are_met_before_the_next_walk(simulator):
    def combos():
        shown = simulator.rest("/markets", limit=1_000, status="open", mve_filter="only")
        return {market["ticker"] for market in shown.body["markets"]}

    with registry_of(simulator, reconcile_seconds=1) as registry:
        known = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")["statuses"].keys()
        created = wait_until(lambda: combos() - known, what="a new combo")
        without(registry, lambda state: created - state["statuses"].keys())


def test_whoever_asks_for_reconciliation_need_not_wait_for_its_time(simulator):
    with registry_of(simulator) as registry:
        known = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")["statuses"]
        wait_until(lambda: truth(simulator).keys() - known.keys(), what="a new market")
        expected = standing_still(simulator, registry)
        assert expected.keys() - registry.state()["statuses"].keys()
        registry.tell("reconcile")
        agreeing(registry, expected)
