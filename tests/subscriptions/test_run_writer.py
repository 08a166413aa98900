"""Up to when a run says to have recorded all, the journal says what it lost before."""

from threading import Thread

import pytest

from app.errors import DatabaseError
from app.postgres.connection import value_of
from app.storage.spool.losses import DAMAGED, QUARANTINED, Loss, Losses
from app.storage.spool.spool import SLACK_US
from app.storage.tables import GAPS, RUNS, SUBSCRIPTIONS
from app.storage.writer import CopyWriter
from app.subscriptions.journal import LOCK_GAPS, RunWriter
from tests.processes import wait_until
from tests.storage.reading import rows_of
from tests.storage.rows import NOON_US

SECOND_US = 1_000_000
CONNECTIONS = 8
REFRESH_SECONDS = 600
DOUBT = SLACK_US // SECOND_US  # what the host's clock may differ by from the exchange's
BOOKS = [7, 8]


class Rig:
    def __init__(self, folder, dsn, connection):
        self.losses = Losses(folder / "losses")
        self.has_older_rows = False
        self.connection = connection
        self._dsn = dsn
        self.writer = RunWriter(dsn, self.losses, CONNECTIONS, REFRESH_SECONDS, lambda: self.has_older_rows)

    def say(self, started_second, until_second, ended_second=None):
        self.writer.write([run(started_second, until_second, ended_second)])

    def lose(self, since_second, until_second, table="orderbook_deltas", cause=DAMAGED, conn=None):
        since_us = None if since_second is None else at(since_second)
        self.losses.add([Loss(table, cause, since_us, at(until_second), conn)])

    def listen(self, run_second, conn):
        writer = CopyWriter(SUBSCRIPTIONS, self._dsn)
        writer.write([(at(run_second), at(run_second), None, conn, "orderbook_delta", "A")])
        writer.close()

    def execute(self, statement, *parameters):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def gaps(self):
        query = """
            SELECT run_id, conn, extract(epoch FROM started_at) * 1000000, extract(epoch FROM ended_at) * 1000000
            FROM gaps ORDER BY run_id, conn, started_at
        """
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(query)
            return [(second(run_id), conn, second(start), end and second(end)) for run_id, conn, start, end in cursor]

    def runs(self):
        with self.connection:
            return [(second(row[0]), second(row[3])) for row in rows_of(self.connection, RUNS)]


def at(second):
    return NOON_US + second * SECOND_US


def second(moment_us):
    return (int(moment_us) - NOON_US) / SECOND_US


def run(started_second, until_second, ended_second=None):
    return (at(started_second), "one", at(started_second), at(until_second), ended_second and at(ended_second))


@pytest.fixture
def rig(tmp_path, timeseries, connection):
    made = Rig(tmp_path, timeseries, connection)
    yield made
    made.writer.close()


def test_without_a_loss_a_run_says_what_it_says(rig):
    rig.say(0, 100)
    assert (rig.runs(), rig.gaps(), rig.writer.why_not_ready()) == ([(0, 100)], [], None)


def test_a_loss_is_in_the_journal_with_the_word_that_would_have_hidden_it(rig):
    rig.say(0, 10)
    rig.lose(20, 30)
    assert "does not record it yet" in rig.writer.why_not_ready()
    rig.say(0, 100)
    assert rig.gaps() == [(0, conn, 20 - DOUBT, 30 + DOUBT + REFRESH_SECONDS) for conn in BOOKS]
    assert rig.writer.why_not_ready() is None
    assert len(rig.losses) == 0


def test_gaps_are_written_under_their_table_s_lock(rig):
    """Else who reads gaps on by their ids could pass one over."""
    rig.say(0, 10)
    rig.lose(20, 30)
    with rig.connection, rig.connection.cursor() as cursor:
        cursor.execute(LOCK_GAPS, (GAPS.name,))
        saying = Thread(target=rig.say, args=(0, 100))
        saying.start()
        wait_until(lambda: is_waited_for(cursor), what="the lock to be waited for")
    saying.join()
    assert rig.gaps() == [(0, conn, 20 - DOUBT, 30 + DOUBT + REFRESH_SECONDS) for conn in BOOKS]


def is_waited_for(cursor):
    cursor.execute(
        """SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    )
    return cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    ("table", "conns", "ended"),
    [
        ("orderbook_snapshots", BOOKS, 30 + DOUBT + REFRESH_SECONDS),
        ("trades", [3, 4], 30 + DOUBT),
        ("tickers", [1, 2], 30 + DOUBT),
        ("lifecycle_events", [5, 6], 30 + DOUBT),
        ("subscriptions", list(range(1, 9)), None),
        ("gaps", list(range(1, 9)), None),
        ("", list(range(1, 9)), None),
        ("quarantine", [], 30 + DOUBT),
        ("markets", [], 30 + DOUBT),
        ("runs", [], 30 + DOUBT),
    ],
)
def test_a_loss_concerns_the_sockets_that_bring_its_table(rig, table, conns, ended):
    rig.lose(20, 30, table)
    rig.say(0, 100)
    assert rig.gaps() == [(0, conn, 20 - DOUBT, ended) for conn in conns]
    assert len(rig.losses) == 0


def test_a_run_whose_journal_lacks_rows_asks_for_a_restart_and_the_next_does_not(rig):
    rig.lose(20, 30, "subscriptions")
    rig.say(0, 100)
    assert "restart this gatherer" in rig.writer.why_not_ready()
    rig.say(40, 101)
    assert rig.writer.why_not_ready() is None
    assert {gap[0] for gap in rig.gaps()} == {0}


def test_a_refused_row_concerns_its_socket_alone(rig):
    rig.lose(20, 30, cause=QUARANTINED, conn=8)
    rig.say(0, 100)
    assert rig.gaps() == [(0, 8, 20 - DOUBT, 30 + DOUBT + REFRESH_SECONDS)]


def test_sockets_of_an_earlier_run_that_had_more_of_them_are_not_forgotten(rig):
    rig.listen(0, 11)
    rig.lose(20, 30)
    rig.say(0, 100)
    assert [conn for _, conn, *_ in rig.gaps()] == [7, 8, 9, 10, 11]


def test_runs_that_began_later_or_said_nothing_of_that_time_are_left_alone(rig):
    for started, until, ended in ((0, 19, 19), (20, 60, 60), (62, 90, 90)):
        rig.say(started, until, ended)
    rig.lose(50, 70, "trades")
    rig.say(80, 100)
    assert [(run_second, start, end) for run_second, _, start, end in rig.gaps()] == [
        *[(20, 50 - DOUBT, 70 + DOUBT)] * 2,
        *[(62, 62 - DOUBT, 70 + DOUBT)] * 2,
    ]


def test_a_loss_outlasts_the_words_of_every_run_that_waited_on_the_disk(rig):
    rig.lose(20, 30, "trades")
    rig.has_older_rows = True
    rig.say(0, 15)
    rig.say(10, 25)
    assert len(rig.losses) == 1
    rig.has_older_rows = False
    rig.say(40, 50)
    assert len(rig.losses) == 0
    assert rig.gaps() == [(started, conn, 20 - DOUBT, 30 + DOUBT) for started in (0, 10) for conn in (3, 4)]


def test_a_loss_outlasts_the_batch_that_brings_the_last_of_these_words(rig, tmp_path):
    """While it is written the disk gives out what it had: the present run's next word is still to come."""
    on_disk = ["a word"]

    class Meanwhile(Losses):
        def read(self):
            on_disk.clear()
            return super().read()

    rig.writer.close()
    rig.writer = RunWriter(
        rig._dsn, Meanwhile(tmp_path / "losses"), CONNECTIONS, REFRESH_SECONDS, lambda: bool(on_disk)
    )
    rig.lose(20, 30, "trades")
    rig.say(0, 15)
    assert len(rig.losses) == 1
    rig.say(10, 25)
    assert len(rig.losses) == 0


def test_since_when_nobody_knows_is_since_the_last_word_in_the_database(rig):
    rig.say(0, 100)
    rig.lose(None, 300, "trades")
    rig.say(0, 200)
    assert rig.gaps() == [(0, conn, 100 - DOUBT, 300 + DOUBT) for conn in (3, 4)]


def test_what_the_latest_run_said_is_taken_back_by_the_doubt_though_another_one_writes_now(rig):
    rig.say(0, 100)
    rig.lose(None, 200, "trades")
    rig.say(150, 160)
    assert rig.gaps() == [
        (started, conn, since - DOUBT, 200 + DOUBT) for started, since in ((0, 100), (150, 150)) for conn in (3, 4)
    ]


def test_of_a_run_of_which_nothing_is_known_yet_all_may_be_lost(rig):
    rig.say(0, 100)
    rig.lose(None, 300, "trades")
    rig.has_older_rows = True
    rig.say(150, 200)
    assert [gap for gap in rig.gaps() if gap[0] == 150] == [(150, conn, 150 - DOUBT, 300 + DOUBT) for conn in (3, 4)]


def test_a_loss_told_again_adds_nothing_and_gets_no_new_place_in_the_order_of_arrival(rig):
    rig.lose(20, 30, "trades")
    rig.say(0, 100)
    before = rig.gaps(), value_of(rig.connection, "SELECT max(ingest_id) FROM gaps")
    rig.connection.rollback()
    rig.lose(22, 29, "trades")
    rig.say(0, 101)
    assert (rig.gaps(), value_of(rig.connection, "SELECT max(ingest_id) FROM gaps")) == before


def test_losses_that_go_on_are_one_gap_that_grows_and_comes_anew_to_who_reads_on(rig):
    for lost_second in range(20, 60):
        rig.lose(lost_second, lost_second + 2, "trades")
        before = value_of(rig.connection, "SELECT coalesce(max(ingest_id), 0) FROM gaps")
        rig.connection.rollback()
        rig.say(0, 100 + lost_second)
        assert value_of(rig.connection, "SELECT min(ingest_id) FROM gaps") > before
        rig.connection.rollback()
    rig.lose(170, 180, "trades")
    rig.say(0, 200)
    times = (20 - DOUBT, 61 + DOUBT), (170 - DOUBT, 180 + DOUBT)
    assert rig.gaps() == [(0, conn, *each) for conn in (3, 4) for each in times]


def test_neither_word_nor_gaps_are_there_when_the_database_fails_in_between(rig):
    rig.say(0, 10)
    rig.lose(20, 30, "trades")
    rig.execute("ALTER TABLE runs DROP COLUMN ended_at")
    with pytest.raises(DatabaseError):
        rig.say(0, 100)
    rig.execute("ALTER TABLE runs ADD COLUMN ended_at TIMESTAMPTZ")
    assert (rig.runs(), rig.gaps(), len(rig.losses)) == ([(0, 10)], [], 1)
    rig.say(0, 100)
    assert len(rig.gaps()) == 2


def test_gaps_that_sockets_tell_keep_their_numbers(rig):
    insert = """
        INSERT INTO gaps (run_id, number, conn, started_at, ended_at, sid, markets, channel, cause)
        SELECT %s, n, 3, to_timestamp(%s), to_timestamp(%s), 1, -1, 'trade', 'disconnected' FROM generate_series(1, 3) AS n
    """
    rig.execute(insert, at(0), at(20) / 1e6, at(30) / 1e6)
    rig.lose(20, 30, "trades")
    rig.say(0, 100)
    with rig.connection:
        assert value_of(rig.connection, "SELECT array_agg(number ORDER BY number) FROM gaps") == [-2, -1, 1, 2, 3]
