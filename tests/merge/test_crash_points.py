"""The deduplicator ends between any two statements, all of them in turn; whoever comes next finds production exact."""

import itertools
import os
import signal

import psycopg2.extensions
import pytest

import app.merge.merger as merging
from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.merge.recordings import Recordings
from tests.processes import run
from tests.storage import rows
from tests.storage.reading import rows_of

KILLED = """
import sys
from app.postgres.dsn import Dsn
from tests.merge import test_crash_points as crash
from tests.merge.recordings import Recordings
production, statements, *gatherers = sys.argv[1:]
crash.end_after(int(statements), crash.kill_this_process)
recording = Recordings("orderbook_deltas", dict(zip("abc", map(Dsn, gatherers))), Dsn(production))
recording.round()
"""


class CrashError(DatabaseError):
    pass


def crash():
    raise CrashError("As if the process had ended here.")


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def end_after(statements, end):
    """Lets so many statements reach production, and then none."""
    left = itertools.count(statements, -1)

    class Crashing(psycopg2.extensions.cursor):
        def execute(self, query, parameters=None):
            if next(left) <= 0:
                end()
            super().execute(query, parameters)

        def copy_expert(self, statement, file, size=8192):
            if next(left) <= 0:
                end()
            super().copy_expert(statement, file, size)

    def connect(dsn, application):
        return psycopg2.connect(dsn.reveal(), application_name=application, cursor_factory=Crashing)

    merging.connect = connect


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(merging, "connect", merging.connect)


def what_gatherers_have():
    """A row that two have, one that one has, one in doubt here and clean there, one without its time here."""
    known, single, doubted, untimed = (rows.delta(clock=clock) for clock in range(1, 5))
    doubted_copy = (*doubted[:7], True, *doubted[8:])
    untimed_copy = (untimed[0] + 1_000_000, *untimed[1:8], True, *untimed[9:])
    return {"a": [known, doubted_copy, untimed_copy], "b": [known, single]}, {"c": [doubted, untimed]}


def expected():
    return [rows.delta(clock=clock)[:10] for clock in range(1, 5)]


def merged(production):
    with connected(production) as connection:
        return sorted(rows_of(connection, PRODUCTION_ORDERBOOK_DELTAS), key=lambda row: row[2])


def cursors_are_of_what_is_there(production):
    """What the cursors say was read is what a database without this crash would have merged by then."""
    with connected(production) as connection:
        read = value_of(connection, "SELECT coalesce(sum(rows_read), 0) FROM sync_cursors")
        return {0: 0, 5: 4, 7: 4}[read] == value_of(connection, "SELECT count(*) FROM orderbook_deltas")


def test_an_error_between_any_two_statements(gatherers, production):
    for statements in itertools.count(1):
        recording = Recordings("orderbook_deltas", gatherers, production)
        first, second = what_gatherers_have()
        with connected(production) as connection, connection.cursor() as cursor:
            cursor.execute("TRUNCATE orderbook_deltas, sync_cursors, merge_statistics")
            connection.commit()
        for name, written in (first | second).items():
            recording.record(name, written)
        end_after(statements, crash)
        crashed = False
        try:
            recording.round("a", "b")
            recording.round("c")
        except CrashError:
            crashed = True
        recording.close()
        assert cursors_are_of_what_is_there(production), statements
        end_after(10**9, crash)
        after = Recordings("orderbook_deltas", gatherers, production)
        after.round()
        assert merged(production) == expected(), statements
        after.close()
        if not crashed:
            break
    assert statements > 20


@pytest.mark.parametrize("statements", [3, 8, 14, 17])
def test_a_kill(gatherers, production, statements):
    recording = Recordings("orderbook_deltas", gatherers, production)
    first, second = what_gatherers_have()
    for name, written in (first | second).items():
        recording.record(name, written)
    dsns = [dsn.reveal() for dsn in gatherers.values()]
    done = run("-c", KILLED, production.reveal(), str(statements), *dsns)
    assert done.returncode == -signal.SIGKILL, done.stderr
    recording.round()
    assert merged(production) == expected()
    recording.close()
