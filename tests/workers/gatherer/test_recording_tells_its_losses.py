"""Rows that a broken disk or a refusing table costs: their time is in the journal before anybody counts on it."""

from app.postgres.connection import connected, value_of
from app.storage.spool.segments import MARK
from app.storage.tables import ORDERBOOK_DELTAS
from tests.processes import wait_until
from tests.workers.recording_process import dsn_of, recorded, recording_process

SOCKETS = 8
BOOKS = {7, 8}
GAPS = """
    SELECT run_id, conn, cause, (extract(epoch FROM started_at) * 1000000)::BIGINT,
        (extract(epoch FROM ended_at) * 1000000)::BIGINT
    FROM gaps ORDER BY run_id, conn
"""
RECEIVED = "SELECT clock, (extract(epoch FROM received_at) * 1000000)::BIGINT FROM orderbook_deltas"


def spooled(folder):
    return sorted((folder / "spool" / ORDERBOOK_DELTAS.name).glob("*.spool"))


def damage(file):
    """Within rows of the file, behind others and before others."""
    content = file.read_bytes()
    start = content.index(MARK, len(content) // 3) + 100
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(bytes([content[start] ^ 0xFF]))


def query(databases, text):
    with connected(dsn_of(databases)) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def times_around(databases, lost):
    """When the rows before and behind those that are lost were received."""
    received_us = dict(query(databases, RECEIVED))
    return received_us[min(lost) - 1], received_us[max(lost) + 1]


def lost_of(databases, said):
    lost = sorted(set(range(said["put"])) - set(recorded(databases)))
    assert lost == list(range(lost[0], lost[-1] + 1))
    return lost


def assert_told(databases, lost, run_id):
    gaps = query(databases, GAPS)
    assert {(gap[0], gap[1], gap[2]) for gap in gaps} == {(run_id, conn, "damaged") for conn in BOOKS}
    before_us, behind_us = times_around(databases, lost)
    assert all(start_us < before_us and behind_us < end_us for *_, start_us, end_us in gaps)


def test_what_a_damaged_file_held_is_a_gap_before_the_run_says_that_all_is_recorded(databases, folder):
    with recording_process(databases, folder, KALSHI_WS_CONNECTIONS=SOCKETS) as process:
        process.wait_for_more()
        with connected(dsn_of(databases)) as busy:
            value_of(busy, "SELECT pg_advisory_xact_lock(hashtextextended('writing orderbook_deltas', 0))")
            process.wait_until(lambda said: said["spool"] > 200_000, "rows on disk")
            damage(spooled(folder)[0])
            busy.rollback()
        process.wait_until(lambda said: said["spool"] == 0 and said["reason"] is None, "all well again")
        process.wait_for_more()
        said, _ = process.stop()
    ((run_id,),) = query(databases, "SELECT run_id FROM runs")
    assert_told(databases, lost_of(databases, said), run_id)
    assert len(list((folder / "spool" / ORDERBOOK_DELTAS.name).glob("*.damaged"))) == 1


def test_damage_that_a_later_run_finds_is_a_gap_of_the_run_that_received_the_rows(own_server, databases, folder):
    own_server.kill()
    with recording_process(databases, folder, KALSHI_WS_CONNECTIONS=SOCKETS) as process:
        process.wait_until(lambda said: said["spool"] > 200_000, "rows on disk")
        process.wait_for_more()
        process.kill()
        first = process.last()
    damage(spooled(folder)[0])
    own_server.start()
    later = {"FIRST_CLOCK": first["put"] + 1_000_000, "KALSHI_WS_CONNECTIONS": SOCKETS}
    with recording_process(databases, folder, **later) as process:
        process.wait_until(lambda said: said["spool"] == 0 and said["reason"] is None, "all well again")
        process.wait_for_more()
        process.stop()
    runs = [run_id for (run_id,) in query(databases, "SELECT run_id FROM runs ORDER BY run_id")]
    assert len(runs) == 2
    lost = sorted(set(range(first["durable"])) - set(recorded(databases)))
    assert_told(databases, lost, runs[0])


def test_a_row_that_its_table_refuses_is_a_gap_of_its_socket(databases, folder):
    refuse = "ALTER TABLE orderbook_deltas ADD CONSTRAINT no_thousands CHECK (clock % 1000 <> 999) NOT VALID"
    with connected(dsn_of(databases)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(refuse)
    with recording_process(databases, folder, KALSHI_WS_CONNECTIONS=SOCKETS) as process:
        process.wait_for_more()
        wait_until(lambda: query(databases, GAPS), what="a gap")
        process.stop()
    stored = set(recorded(databases))
    reached = max(stored) + 1  # of a slow database, later rows are on disk, for the next run to store
    refused = {clock for clock in range(reached) if clock % 1000 == 999}
    assert set(range(reached)) - stored == refused
    ((run_id,),) = query(databases, "SELECT run_id FROM runs")
    ((told_run, conn, cause, start_us, end_us),) = query(databases, GAPS)
    assert (told_run, conn, cause) == (run_id, 1, "quarantined")
    received_us = dict(query(databases, RECEIVED))
    # Where the last of all was refused, the one before it came in the same batch.
    around_us = [(received_us[clock - 1], received_us.get(clock + 1, received_us[clock - 1])) for clock in refused]
    assert all(start_us < before_us <= behind_us < end_us for before_us, behind_us in around_us)
    ((quarantined,),) = query(databases, "SELECT count(*) FROM quarantine")
    assert quarantined in {len(refused), len(refused) + (reached % 1000 == 999)}
