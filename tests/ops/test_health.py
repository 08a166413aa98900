"""Alive and ready, as a process of ours tells it."""

import pytest

from tests.ops.ops import running_ops
from tests.processes import wait_until


@pytest.fixture(scope="module")
def own_ops():
    with running_ops() as started:
        yield started


def test_it_is_alive_while_its_loops_turn(ops):
    assert ops.answer("/health") == (200, {"status": "ok"})


def test_it_names_the_loop_that_hangs_until_it_turns_again(own_ops):
    own_ops.switch("loop", True)
    wait_until(lambda: own_ops.answer("/health") == (503, {"status": "hangs", "loops": ["turning"]}))
    own_ops.switch("loop", False)
    wait_until(lambda: own_ops.answer("/health") == (200, {"status": "ok"}))


def test_it_gives_all_reasons_for_not_being_ready(own_ops):
    own_ops.switch("reasons", ["The database is away.", "The disk is full."])
    assert own_ops.answer("/ready") == (
        503,
        {"status": "not ready", "reasons": ["The database is away.", "The disk is full."]},
    )
    own_ops.switch("reasons", [])
    assert own_ops.answer("/ready") == (200, {"status": "ready"})


def test_metrics_are_in_prometheus_own_format_with_those_of_process_and_python(ops):
    answer = ops.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    for name in (
        "kalshi_build_info{",
        "process_resident_memory_bytes ",
        "python_info{",
        "kalshi_hub_lag_seconds_count ",
    ):
        assert f"\n{name}" in answer.text


def test_a_stall_of_the_hub_is_seen_in_its_whole_length(own_ops):
    def late():
        # Everything slower than a quarter of a second.
        buckets = 'kalshi_hub_lag_seconds_bucket{le="0.25"}'
        return own_ops.metric("kalshi_hub_lag_seconds_count") - own_ops.metric(buckets)

    before = late()
    own_ops.switch("hub", 1.2)
    # Of the 24 turns that fell into it, those in its last quarter of a second were that late or less.
    wait_until(lambda: late() - before >= 15)
    own_ops.process.wait_for("event loop stalled")
