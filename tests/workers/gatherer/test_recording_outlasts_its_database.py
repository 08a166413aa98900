"""The recorder as a process, while its database goes and comes."""

import pytest

from tests.processes import wait_until
from tests.workers.recording_process import recorded, recording_process, stopped_sessions


def everything(said):
    return list(range(said["put"]))


def test_a_server_that_is_killed_and_comes_back_has_every_row_once_and_in_order(own_server, databases, folder):
    with recording_process(databases, folder) as process:
        process.wait_for_more()
        own_server.kill()
        process.wait_until(lambda said: said["spool"] > 0, "rows on disk")
        assert "wait on disk" in process.wait_for_more()["reason"]
        own_server.start()
        process.wait_until(lambda said: said["spool"] == 0, "the disk empty again")
        assert process.wait_for_more()["reason"] is None
        said, code = process.stop()
    assert (code, said["hanging"], said["waiting"], said["spool"]) == (0, [], 0, 0)
    assert recorded(databases) == everything(said)


def test_a_database_that_is_down_from_start_to_end_loses_nothing(own_server, databases, folder):
    own_server.kill()
    with recording_process(databases, folder) as process:
        process.wait_for_more()
        first, code = process.stop()
    assert (code, first["hanging"], first["waiting"]) == (0, [], 0)
    assert first["spool"] > 0
    own_server.start()
    with recording_process(databases, folder, FIRST_CLOCK=first["put"]) as process:
        process.wait_for_more()
        said, _ = process.stop()
    assert recorded(databases) == everything(said)


def test_killed_at_any_moment_every_row_that_was_durable_is_stored(own_server, databases, folder):
    durable = set()
    put = 0
    for database_is_away in (False, True):
        with recording_process(databases, folder, FIRST_CLOCK=put) as process:
            process.wait_for_more()
            if database_is_away:
                own_server.kill()
                process.wait_until(lambda said: said["spool"] > 0, "rows on disk")
                process.wait_for_more()
            process.kill()
            said = process.last()
            durable |= set(range(put, said["durable"]))
            put = said["put"] + 1_000_000
    own_server.start()
    with recording_process(databases, folder, FIRST_CLOCK=put) as process:
        process.wait_until(lambda said: said["spool"] == 0, "the disk empty again")
        process.stop()
    stored = recorded(databases)
    assert durable <= set(stored)
    assert len(stored) == len(set(stored))


def test_a_server_that_hangs_holds_up_neither_rows_nor_the_end(own_server, databases, folder):
    with recording_process(databases, folder) as process:
        process.wait_for_more()
        with stopped_sessions(own_server):
            process.wait_until(lambda said: said["spool"] > 0, "rows on disk")
            process.wait_for_more()
            said, code = process.stop()
        assert code == 3
        assert "orderbook_deltas" in said["hanging"]
        assert said["waiting"] == 0
        assert said["closed_seconds"] < 30
    with recording_process(databases, folder, FIRST_CLOCK=said["put"]) as process:
        process.wait_for_more()
        process.wait_until(lambda said: said["spool"] == 0, "the disk empty again")
        said, _ = process.stop()
    assert sorted(recorded(databases)) == everything(said)


@pytest.mark.parametrize(
    "limit", [{"KALSHI_SPOOL_MAX_BYTES": 1_000_000}, {"FILE_LIMIT_BYTES": 500_000}], ids=["maximum", "disk"]
)
def test_when_the_disk_is_full_too_whoever_puts_rows_waits_and_nothing_is_lost(own_server, databases, folder, limit):
    with recording_process(databases, folder, KALSHI_BUFFER_ROWS=1_000, **limit) as process:
        process.wait_for_more()
        own_server.kill()
        process.wait_until(lambda said: said["waiting"] > 1_000, "a full buffer")
        # The disk may refuse rows before memory is full too.
        process.wait_until(
            lambda said: said["waiting"] > 1_000 and said["reason"] and "wait in memory" in said["reason"], "the reason"
        )
        refused = "rows not spooled: they stay in memory"
        wait_until(lambda: len(process.logged(refused)) > 2, what="that it is tried again")
        before, tries = process.last(), len(process.logged(refused))
        wait_until(lambda: len(process.logged(refused)) > tries, what="one more try")
        assert process.last()["put"] <= before["put"] + 100
        own_server.start()
        process.wait_until(lambda said: said["spool"] == 0 and said["reason"] is None, "all well again")
        said, code = process.stop()
    assert (code, said["waiting"]) == (0, 0)
    assert recorded(databases) == everything(said)
