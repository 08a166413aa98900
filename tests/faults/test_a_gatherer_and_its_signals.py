import signal

import pytest

from tests.faults.gathering import assert_exact, exchange, gatherer, let_pass, settings_of, stop_in_order
from tests.processes import wait_until

STOPPED_SECONDS = 60


@pytest.mark.long
def test_a_process_that_was_stopped_for_a_minute_goes_on(tmp_path, databases):
    """Its sockets overflow, or their other ends give up; what was sent is read all the same."""
    with exchange(tmp_path, "--buffer-frames", 500) as simulator:
        with gatherer(settings_of(simulator, databases, tmp_path / "data")) as recorder:
            recorder.wait_until_ready()
            recorder.signal(signal.SIGSTOP)
            let_pass(simulator, STOPPED_SECONDS)
            recorder.signal(signal.SIGCONT)
            recorder.wait_until_ready()
            let_pass(simulator, 2)
            stop_in_order(simulator, recorder)
        assert_exact(simulator, databases)


def test_a_stop_in_full_flow_loses_nothing_that_was_sent(simulator, databases, tmp_path):
    with gatherer(settings_of(simulator, databases, tmp_path / "data")) as recorder:
        recorder.wait_until_ready()
        let_pass(simulator, 2)
        recorder.stop()
        assert simulator.state()["is_running"]
    assert databases.value("SELECT count(*) FROM runs WHERE ended_at IS NOT NULL") == 1
    assert_exact(simulator, databases)


def test_sigint_is_as_good(simulator, databases, tmp_path):
    with gatherer(settings_of(simulator, databases, tmp_path / "data")) as recorder:
        recorder.wait_until_ready()
        recorder.signal(signal.SIGINT)
        assert recorder.process.exit_code() == 0


def test_an_exchange_that_is_down_at_the_start_is_waited_for(simulator, tmp_path, databases):
    simulator.inflict("refuse", seconds=20)
    simulator.inflict("rest_error", status=503, count=0, seconds=20)
    with gatherer(settings_of(simulator, databases, tmp_path / "data")) as recorder:
        reasons = wait_until(recorder.why_not_ready, what="the reason")
        assert "exchange" in str(reasons)
        recorder.wait_until_ready()
        let_pass(simulator, 2)
        stop_in_order(simulator, recorder)
    assert_exact(simulator, databases)


def test_an_exchange_that_nobody_answers_for_is_waited_for(tmp_path, databases, simulator):
    settings = settings_of(simulator, databases, tmp_path / "data")
    with gatherer({**settings, "KALSHI_REST_URL": "http://127.0.0.1:9/trade-api/v2"}) as recorder:
        recorder.process.wait_for("request retried")
        assert recorder.get("/health").status == 200
        assert recorder.get("/ready").status == 503
        recorder.stop()
