"""As a process: it ends in good order, leaves a readable truth however it ends, and repeats itself exactly."""

import json
import signal
import socket

import pytest
from websockets.exceptions import ConnectionClosed

from app.simulator.market.changes import SimDelta
from app.simulator.truth import TruthReader
from tests.processes import run, wait_until
from tests.simulator.running import DEADLINE_SECONDS, Client, running_simulator

PLAN = [
    {"at_seconds": 2.5, "fault": {"fault": "halt", "seconds": 1}},
    {"at_seconds": 5, "fault": {"fault": "maintenance", "seconds": 2}},
    {"at_seconds": 8, "fault": {"fault": "drop", "count": 3}},
]


def test_sigterm_says_goodbye_and_exits_with_0(tmp_path):
    with running_simulator(tmp_path) as simulator, simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["market_lifecycle_v2"])
        simulator.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            client.wait_for(lambda _: False, "the end")
        assert closed.value.rcvd.code == 1001
        assert simulator.process.wait(DEADLINE_SECONDS) == 0
        assert simulator.log.read_text() == ""


def test_sigkill_leaves_a_readable_truth_of_all_but_the_last_second(tmp_path):
    with running_simulator(tmp_path, "--markets", "100", "--rate", "500", "--tier", "unlimited") as simulator:
        tickers = simulator.tickers(status="open")
        with simulator.connect() as connection:
            client = Client(connection)
            client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
            client.wait_for(lambda _: len(client.of_type("orderbook_delta")) > 1_500, "three seconds' deltas")
            told = simulator.state()["told_changes"]
            simulator.process.kill()
            simulator.process.wait(DEADLINE_SECONDS)
    truth = TruthReader(simulator.truth)
    changes = list(truth.changes())
    assert told - 1_000 < len(changes)
    (name,) = truth.connections()
    words = [word for block in truth.sent(name) for word in block]
    assert len(words) > 500


def test_the_truth_says_in_order_what_a_client_has_seen(tmp_path):
    with running_simulator(tmp_path, "--markets", "100", "--rate", "500", "--tier", "unlimited") as simulator:
        tickers = simulator.tickers(status="open")
        with simulator.connect() as connection:
            client = Client(connection)
            client.ask("subscribe", channels=["orderbook_delta", "trade"], market_tickers=tickers)
            client.wait_for(lambda _: len(client.of_type("orderbook_delta")) > 500, "deltas")
            simulator.stop_the_clock()
            client.drain()
            name = simulator.state()["connections"][0]["name"]
        assert simulator.stop() == 0
    truth = TruthReader(simulator.truth)
    changes = list(truth.changes())
    sent = [changes[ordinal] for ordinal in whole(word for block in truth.sent(name) for word in block)]
    clocks = [each["msg"]["clock"] for each in client.of_type("orderbook_delta")]
    assert [change.clock for change in sent if isinstance(change, SimDelta)] == clocks
    trades = [each["msg"]["trade_id"] for each in client.of_type("trade")]
    assert [change.trade_id for change in sent if not isinstance(change, SimDelta)] == trades


def whole(words):
    """The ordinals of changes; a snapshot's market and clock are two words."""
    for word in words:
        if word & 4:
            next(words)
        else:
            assert word & 3 == 0
            yield word >> 3


def test_the_same_seed_and_plan_give_the_same_history_byte_by_byte(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    options = ("--plan", str(plan), "--stop-after", "20", "--rate", "400", "--markets", "200", "--tier", "unlimited")
    histories = [history(tmp_path / "alone", *options, "--speed", "40")]
    # With somebody who asks and listens meanwhile, and at another speed.
    histories.append(history(tmp_path / "watched", *options, "--speed", "2", watched=True))
    assert histories[0] == histories[1]
    assert history(tmp_path / "other", *options, "--speed", "40", "--seed", "2") != histories[0]
    assert len(histories[0].splitlines()) > 4_000


def history(folder, *options, watched=False):
    with running_simulator(folder, *options) as simulator:
        if watched:
            tickers = simulator.tickers()
            with simulator.connect() as connection:
                client = Client(connection)
                client.ask("subscribe", channels=["orderbook_delta", "ticker"], market_tickers=tickers)
                client.wait_for(lambda _: len(client.of_type("orderbook_delta")) > 100, "deltas")
                for ticker in tickers[:50]:
                    simulator.rest(f"/markets/{ticker}/orderbook")
        assert wait_until(lambda: simulator.process.poll() is not None, what="its end")
        assert simulator.process.returncode == 0, simulator.log.read_text()
    return (simulator.truth / "history.jsonl").read_bytes()


def test_a_plan_that_is_none_is_refused(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text('[{"at_seconds": 1, "fault": {"fault": "earthquake"}}]')
    with (
        pytest.raises(AssertionError, match="is no plan of faults") as refused,
        running_simulator(tmp_path, "--plan", plan),
    ):
        pass
    assert "earthquake" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_port_in_use_is_told_and_the_truth_folder_stays_free(tmp_path):
    truth = tmp_path / "truth"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("-m", "app", "simulator", "--folder", tmp_path, "--truth", truth, "--control-port", port)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
    assert not truth.exists()
