"""What systemd and the log hear of a process from its start to its end."""

import signal

import pytest

from tests.ops.ops import running_ops
from tests.processes import run, wait_until
from tests.systemd import listening


@pytest.fixture
def systemd(tmp_path):
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


@pytest.fixture
def told(tmp_path):
    """What systemd gives to a process that it watches."""
    return {"NOTIFY_SOCKET": tmp_path / "notify", "WATCHDOG_USEC": 300_000}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ready_once_nothing_speaks_against_it_and_says_when_it_stops(systemd, told, number):
    with running_ops("The markets are being read.", **told) as ops:
        systemd.waits_for("STATUS=The markets are being read.")
        # However long that takes, it has not failed to start.
        systemd.waits_for("EXTEND_TIMEOUT_USEC=60000000")
        assert "READY=1" not in systemd.heard
        ops.switch("reasons", [])
        systemd.waits_for("READY=1")
        systemd.waits_for("STATUS=Ready.")
        ops.switch("reasons", ["The disk is full."])
        systemd.waits_for("STATUS=The disk is full.")
        ops.process.signal(number)
        assert ops.process.exit_code() == 0
    systemd.waits_for("STOPPING=1")
    assert systemd.heard.count("READY=1") == 1
    for line in ('"message": "not ready"', '"message": "ready"', '"message": "stopping"'):
        assert any(line in said for said in ops.process.lines)


def test_the_watchdog_is_fed_until_a_loop_hangs(systemd, told):
    with running_ops(**told) as ops:
        wait_until(lambda: systemd.times_heard("WATCHDOG=1") > 3)
        ops.switch("loop", True)
        wait_until(lambda: ops.answer("/health")[0] == 503)
        fed, complaints = systemd.times_heard("WATCHDOG=1"), complaints_of(ops)
        wait_until(lambda: complaints_of(ops) > complaints + 2)
        assert systemd.times_heard("WATCHDOG=1") == fed
        ops.switch("loop", False)
        wait_until(lambda: systemd.times_heard("WATCHDOG=1") > fed)


def complaints_of(ops):
    return sum(
        "watchdog not notified: loops are late" in line and '"loops": ["turning"]' in line for line in ops.process.lines
    )


def test_without_systemd_it_runs_the_same(ops):
    assert ops.process.wait_for('"message": "ready"')


def test_an_ops_port_that_is_taken_ends_it_at_its_start(ops):
    done = run("-m", "tests.ops.ops_process", KALSHI_OPS_ADDRESS=":".join(map(str, ops.address)))
    assert done.returncode == 1
    assert "The ops port cannot be opened." in done.stderr
    assert "KALSHI_OPS_ADDRESS" in done.stderr
