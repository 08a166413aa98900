import threading

import pytest

from app.runtime.clock import now_us
from app.runtime.health import StoppedError
from app.storage.runs import MARGIN_US, PreviousRun, Run
from app.storage.tables import GAPS, RUNS, SUBSCRIPTIONS, TRADE_CONNECTIONS
from app.storage.write_queue import WriteQueues
from app.storage.writer import CopyWriter
from tests.processes import wait_until
from tests.servers import temporary_server
from tests.storage.migrated import migrated_database
from tests.storage.reading import rows_of
from workers.gatherer.writers import INTERVAL_SECONDS, RunKeeper

START_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000
UNTIL, ENDED = 3, 4


def until_us(hours):
    """Half an hour after the start of the run that began so many hours ago."""
    return START_US - hours * HOUR_US + HOUR_US // 2


class Kept(WriteQueues):
    """Keeps what is put."""

    def __init__(self):
        super().__init__({})
        self.rows = []
        self.since_us = None

    def put(self, table, rows):
        assert table is RUNS
        self.rows += rows

    def waiting_since_us(self):
        return self.since_us


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


class Turns:
    """Stops after so many turns, each of which takes as long as is given."""

    def __init__(self, clock, *seconds):
        self._clock = clock
        self._seconds = list(seconds)

    def wait(self, timeout=None):
        assert timeout == INTERVAL_SECONDS
        if not self._seconds:
            return True
        self._clock.seconds += self._seconds.pop(0)
        return False


@pytest.fixture
def kept():
    return Kept()


def keep(kept, *seconds, in_hand=()):
    clock = Clock()
    keeper = RunKeeper(Run(START_US, "gatherer"), kept, in_hand, Turns(clock, *seconds), clock)
    keeper.run()
    return keeper


def test_it_says_a_second_less_than_now_when_nothing_waits(kept):
    before_us = now_us()
    keep(kept, 1.0)
    assert [row[:3] for row in kept.rows] == [(START_US, "gatherer", START_US)] * 2
    assert before_us <= kept.rows[-1][UNTIL] + MARGIN_US <= now_us()
    assert kept.rows[-1][ENDED] is None


def test_it_says_no_more_than_the_oldest_row_that_waits_allows(kept):
    kept.since_us = START_US + 10_000_000
    keep(kept, 1.0)
    assert kept.rows[-1][UNTIL] == START_US + 9_000_000


def test_it_says_no_more_than_the_oldest_frame_in_hand_allows(kept):
    kept.since_us = START_US + 10_000_000
    keep(kept, 1.0, in_hand=[lambda: None, lambda: START_US + 5_000_000])
    assert kept.rows[-1][UNTIL] == START_US + 4_000_000


def test_it_takes_nothing_back(kept):
    oldest = iter([START_US, START_US + 9_000_000, START_US + 5_000_000])
    keep(kept, 1.0, 1.0, in_hand=[lambda: next(oldest)])
    assert [row[UNTIL] - START_US for row in kept.rows] == [0, 8_000_000, 8_000_000]


def test_after_it_was_held_up_it_skips_a_turn(kept):
    asked = []
    keep(kept, 1.0, 1.9, 2.1, 1.0, in_hand=[lambda: asked.append(None)])
    assert len(kept.rows) == len(asked) == 4


def test_at_the_end_it_says_when_and_claims_nothing_for_the_time_of_draining(kept):
    keeper = keep(kept)
    stopped_us = now_us()
    wait_until(lambda: now_us() > stopped_us + 1_000)
    keeper.end()
    last = kept.rows[-1]
    assert last[UNTIL] + MARGIN_US <= stopped_us < last[ENDED] <= now_us()


@pytest.fixture
def runs(timeseries):
    writer = CopyWriter(RUNS, timeseries)
    yield writer
    writer.close()


def test_a_run_knows_up_to_when_earlier_ones_heard_every_trade(runs, timeseries, connection):
    asking = PreviousRun(timeseries, START_US, threading.Event())
    assert asking.trades_heard_until_us() is None
    write = {table: CopyWriter(table, timeseries).write for table in (SUBSCRIPTIONS, GAPS)}
    for number in (3, 2):
        runs.write([(START_US - number * HOUR_US, "gatherer", START_US - number * HOUR_US, until_us(number), None)])
    assert asking.trades_heard_until_us() is None
    write[SUBSCRIPTIONS](
        [(START_US - 3 * HOUR_US, START_US - 3 * HOUR_US, None, conn, "trade", "") for conn in TRADE_CONNECTIONS]
    )
    assert asking.trades_heard_until_us() == until_us(3)
    lost_us = [until_us(3) - 1_000, until_us(3) - 2_000]
    for number, (conn, at_us) in enumerate(zip(TRADE_CONNECTIONS, lost_us, strict=True)):
        gap = (START_US - 3 * HOUR_US, number, conn, at_us, None, -1, -1, None, "trade", "disconnected")
        write[GAPS]([gap])
    assert asking.trades_heard_until_us() == lost_us[0]
    assert len(rows_of(connection, RUNS)) == 2


def test_it_asks_again_when_the_database_is_back_and_gives_up_when_it_stops():
    stopping = threading.Event()
    with temporary_server(fsync="off") as server:
        asking = PreviousRun(migrated_database(server), START_US, stopping)
        server.kill()
        answers = []
        asker = threading.Thread(target=lambda: answers.append(asking.trades_heard_until_us()))
        asker.start()
        server.start()
        asker.join(120)
        assert answers == [None]
        server.kill()
        stopping.set()
        with pytest.raises(StoppedError):
            asking.trades_heard_until_us()
