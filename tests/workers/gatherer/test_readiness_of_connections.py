"""/ready says what is heard now, also after it was once ready."""

import pytest

from tests.processes import wait_until
from tests.simulator.running import running_simulator
from tests.workers.listening import listening, ordinals

BOOKS = "orderbook_delta"


@pytest.fixture
def simulator(tmp_path):
    with running_simulator(tmp_path, "--markets", "40", "--rate", "50", "--tier", "unlimited") as running:
        yield running


def why_not_ready(recorder):
    return recorder.state()["why_not_ready"]


def wait_until_ready(recorder):
    wait_until(lambda: why_not_ready(recorder) is None, what="readiness")


def test_what_is_not_heard_any_more_is_said_until_it_is_heard_again(simulator):
    with listening(simulator, connections=9) as recorder:
        tickers = simulator.tickers(status="open")
        recorder.say(want=tickers)
        recorder.wait_for_all(len(tickers))
        wait_until_ready(recorder)
        for channel, reason in ((BOOKS, f"of {len(tickers)} order books"), ("trade", "no connection receives trade")):
            fault_id = simulator.inflict("refuse", seconds=600, status=503)["fault_id"]
            simulator.inflict("close", connections=ordinals(simulator, channel))
            wait_until(lambda reason=reason: reason in (why_not_ready(recorder) or ""), what=reason)
            simulator.lift(fault_id)
            recorder.wait_for_all(len(tickers))
            assert why_not_ready(recorder) is None


def test_one_of_two_sockets_is_enough_to_hear_a_channel(simulator):
    with listening(simulator, connections=8) as recorder:
        tickers = simulator.tickers(status="open")
        recorder.say(want=tickers)
        recorder.wait_for_all(len(tickers))
        wait_until_ready(recorder)
        simulator.inflict("refuse", seconds=600, status=503)
        simulator.inflict("close", connections=ordinals(simulator, "trade")[:1])
        wait_until(lambda: "waiting" in [each["state"] for each in recorder.connections("trade")], what="one closed")
        # Longer than a reason may be kept back.
        since_us = recorder.state()["now_us"]
        wait_until(lambda: recorder.state()["now_us"] - since_us > 1_500_000, what="a while")
        assert why_not_ready(recorder) is None


def test_an_exchange_of_the_older_wire_can_be_heard_whole(tmp_path):
    with (
        running_simulator(tmp_path, "--markets", "40", "--wire", "cents", "--tier", "unlimited") as simulator,
        listening(simulator, connections=8) as recorder,
    ):
        tickers = simulator.tickers(status="open")
        recorder.say(want=tickers)
        recorder.wait_for_all(len(tickers))
        wait_until_ready(recorder)
