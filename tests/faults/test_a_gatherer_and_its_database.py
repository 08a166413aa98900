"""Databases that are away, late, or stand still cost nothing but time."""

import contextlib
import signal

import psutil
import pytest

from app.databases import Kind
from app.postgres.connection import connected, value_of
from app.store.migrations import migrate, migrations_of
from tests.faults.gathering import assert_exact, gatherer, let_pass, settings_of, stop_in_order, wait_for_rows
from tests.processes import wait_until
from tests.servers import temporary_server


class Own:
    """Databases of a server that a test may kill."""

    def __init__(self, server):
        self.server = server
        self.timeseries = self._migrated(Kind.TIMESERIES)
        self.metadata = self._migrated(Kind.METADATA)

    def _migrated(self, kind):
        dsn = self.server.ensure_database(kind.database)
        with connected(dsn) as connection:
            migrate(connection, migrations_of(kind))
        return dsn

    def value(self, query, *parameters):
        with connected(self.timeseries) as connection:
            return value_of(connection, query, parameters or None)


@pytest.fixture
def own():
    with temporary_server(fsync="off", max_locks_per_transaction="256") as server:
        yield Own(server)


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


def test_a_database_that_is_down_at_the_start_is_waited_for(simulator, own, tmp_path):
    own.server.kill()
    with gatherer(settings_of(simulator, own, tmp_path / "data")) as recorder:
        wait_until(lambda: recorder.metric("kalshi_spool_bytes") > 0, what="rows on disk")
        own.server.start()
        recorder.wait_until_ready()
        wait_for_rows(own)
        stop_in_order(simulator, recorder)
    assert_exact(simulator, own)


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
