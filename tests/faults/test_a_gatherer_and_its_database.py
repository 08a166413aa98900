"""Databases that are away, late, or stand still cost nothing but time."""

import contextlib
import signal

import psutil
import pytest

from tests.faults.gathering import (
    Databases,
    assert_exact,
    exchange,
    gatherer,
    let_pass,
    settings_of,
    stop_in_order,
    wait_for_rows,
)
from tests.processes import wait_until
from tests.servers import temporary_server


@pytest.fixture
def own():
    with temporary_server(fsync="off", max_locks_per_transaction="256") as server:
        yield Databases.of_its_own(server)


def test_a_restart_of_the_database_loses_nothing(simulator, own, tmp_path):
    with gatherer(settings_of(simulator, own, tmp_path / "data")) as recorder:
        recorder.wait_until_ready()
        wait_for_rows(own)
        own.server.kill()
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") > 0, what="rows on disk")
        assert recorder.why_not_ready() is not None
        own.server.start()
        recorder.wait_until_ready()
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") == 0, what="an empty spool")
        let_pass(simulator, 2)
        stop_in_order(simulator, recorder)
    assert_exact(simulator, own)


@pytest.mark.long
def test_a_database_that_is_down_at_the_start_is_waited_for(simulator, own, tmp_path):
    own.server.kill()
    with gatherer(settings_of(simulator, own, tmp_path / "data")) as recorder:
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") > 0, what="rows on disk")
        own.server.start()
        recorder.wait_until_ready()
        wait_for_rows(own)
        stop_in_order(simulator, recorder)
    assert_exact(simulator, own)


@pytest.mark.long
def test_a_database_that_stays_away_leaves_everything_on_disk_for_the_next_start(simulator, own, tmp_path):
    settings = settings_of(simulator, own, tmp_path / "data")
    with gatherer(settings) as recorder:
        recorder.wait_until_ready()
        wait_for_rows(own)
        own.server.kill()
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") > 0, what="rows on disk")
        stop_in_order(simulator, recorder)
    own.server.start()
    with gatherer(settings) as recorder:
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") == 0, what="an empty spool")
        recorder.stop()
    assert_exact(simulator, own)


@pytest.mark.long
def test_a_database_that_stands_still_does_not_stand_in_the_way(simulator, own, tmp_path):
    """It takes what it is sent and answers nothing, as on a disk that hangs."""
    with gatherer(settings_of(simulator, own, tmp_path / "data", KALSHI_BUFFER_ROWS=1_000)) as recorder:
        recorder.wait_until_ready()
        wait_for_rows(own)
        servers = processes_of(own.server)
        tell(servers, signal.SIGSTOP)
        try:
            wait_until(lambda: recorder.metric("kalshi_spool_bytes") > 0, what="rows on disk")
        finally:
            tell(servers, signal.SIGCONT)
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") == 0, what="an empty spool")
        stop_in_order(simulator, recorder)
    assert_exact(simulator, own)


def processes_of(server):
    first = psutil.Process(server.pid)
    return [first, *first.children(recursive=True)]


def tell(processes, number):
    for process in processes:
        # Some only live for a moment.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def test_a_full_disk_is_loud_and_drops_nothing(tmp_path, own):
    with exchange(tmp_path, "--rate", 3_000) as simulator:
        settings = settings_of(simulator, own, tmp_path / "data", KALSHI_BUFFER_ROWS=1_000)
        with gatherer({**settings, "KALSHI_SPOOL_MAX_BYTES": 1_000_000}) as recorder:
            recorder.wait_until_ready()
            wait_for_rows(own)
            own.server.kill()
            wait_until(lambda: recorder.metric("kalshi_spool_refuses") > 0, what="a full disk")
            assert "wait in memory" in str(recorder.why_not_ready())
            assert recorder.get("/health").status == 200
            own.server.start()
            # A machine that is busy otherwise need not keep up with 3,000 changes a second and empty the spool beside them.
            simulator.stop_the_clock()
            wait_until(lambda: recorder.metric("kalshi_spool_bytes") == 0, what="an empty spool")
            recorder.wait_until_ready()
            stop_in_order(simulator, recorder)
        assert_exact(simulator, own)


@pytest.mark.long
def test_with_nowhere_to_put_rows_it_ends_all_the_same_and_says_what_is_lost(tmp_path, own):
    with exchange(tmp_path, "--rate", 3_000) as simulator:
        settings = settings_of(simulator, own, tmp_path / "data", KALSHI_BUFFER_ROWS=1_000)
        with gatherer({**settings, "KALSHI_SPOOL_MAX_BYTES": 1_000_000}) as recorder:
            recorder.wait_until_ready()
            own.server.kill()
            wait_until(lambda: recorder.metric("kalshi_spool_refuses") > 0, what="a full disk")
            recorder.signal(signal.SIGTERM)
            assert recorder.process.exit_code() == 1
            assert "Rows were lost." in "".join(recorder.process.lines[-10:])
