import json
import signal
from contextlib import contextmanager

import psutil

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from tests.processes import running, wait_until
from tests.servers import new_database
from tests.storage.migrated import migrated_database

KINDS = (DatabaseKind.TIMESERIES, DatabaseKind.METADATA)


def new_databases(server):
    """A gatherer's two, empty, as settings."""
    made = {kind: new_database(server, migrated_database(server, kind)) for kind in KINDS}
    return {f"KALSHI_{kind.setting.upper()}": dsn.reveal() for kind, dsn in made.items()}


@contextmanager
def recording_process(databases, folder, **settings):
    with running("-m", "tests.workers.programs.record", **databases, KALSHI_DATA_DIR=folder, **settings) as process:
        yield RecordingProcess(process)


class RecordingProcess:
    """What the program in programs/record.py does and says."""

    def __init__(self, process):
        self._process = process

    def last(self):
        return next((json.loads(line) for line in reversed(self._process.lines) if line.startswith('{"put"')), None)

    def wait_until(self, condition, what="what it says"):
        def seen():
            said = self.last()
            assert not self._process._is_over(), "".join(self._process.lines[-20:])
            return said and condition(said) and said

        return wait_until(seen, what=what)

    def wait_for_more(self, rows=2_000):
        before = self.last() or {"durable": 0}
        return self.wait_until(lambda said: said["durable"] >= before["durable"] + rows, "more durable rows")

    def logged(self, text):
        return [line for line in self._process.lines if text in line]

    def kill(self):
        self._process.signal(signal.SIGKILL)
        self._process.exit_code()

    def stop(self):
        """What it said last, and its exit code."""
        self._process.signal(signal.SIGTERM)
        code = self._process.exit_code()
        return self.last(), code


def recorded(databases):
    """The clocks of the changes that the database holds, in the order in which they were stored."""
    with connected(dsn_of(databases)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT clock FROM orderbook_deltas ORDER BY ingest_id")
        return [clock for (clock,) in cursor.fetchall()]


def dsn_of(databases):
    return Dsn(databases["KALSHI_TS_DSN"])


@contextmanager
def stopped_sessions(server):
    """The server's sessions do nothing, yet their sockets stay open and take what fits into them."""
    sessions = psutil.Process(server.pid).children()
    for session in sessions:
        session.suspend()
    try:
        yield
    finally:
        for session in sessions:
            session.resume()
