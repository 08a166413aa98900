import threading
from itertools import count

import pytest

from app.runtime.clock import now_us
from app.storage.runs import Run
from app.storage.spool.spool import Spool
from app.storage.tables import GAPS, RUNS, SUBSCRIPTIONS
from app.storage.write_queue import RowBuffer, WriteQueue, WriteQueues
from app.subscriptions.journal import Journal
from workers.gatherer.writers import RunKeeper

LONG_AGO_US = now_us() - 35_000_000


@pytest.fixture
def queues(tmp_path):
    tables = (RUNS, GAPS, SUBSCRIPTIONS)
    return WriteQueues(
        {
            table.name: WriteQueue(RowBuffer(100), Spool(tmp_path / table.name, table, lambda _: None))
            for table in tables
        }
    )


def lose_the_line(journal):
    journal.open_gap("orderbook_delta", "disconnected", LONG_AGO_US, sid=-1, markets=10)


def give_up_a_market(journal):
    journal.ended("orderbook_delta", "A", LONG_AGO_US - 1, LONG_AGO_US)


def lose_the_line_once_more(journal):
    journal.open_gap("orderbook_delta", "overflow", LONG_AGO_US + 20_000_000, sid=1, markets=10)
    lose_the_line(journal)


def give_up_two_markets(journal):
    give_up_a_market(journal)
    journal.ended("orderbook_delta", "B", LONG_AGO_US - 1, LONG_AGO_US + 20_000_000)


@pytest.mark.parametrize("happen", [lose_the_line, give_up_a_market, lose_the_line_once_more, give_up_two_markets])
def test_nothing_is_said_to_be_recorded_behind_what_the_journal_still_has_to_take_back(queues, happen):
    journal = Journal(1, 7, count(1))
    happen(journal)
    for table, rows in journal.take():
        queues.put(table, rows)
    run = Run(1, "gatherer")
    keeper = RunKeeper(run, queues, [], threading.Event())
    keeper.end()
    assert run.recorded_until_us < LONG_AGO_US
    for queue in queues.by_table.values():
        queue.spill()
    keeper.end()
    assert run.recorded_until_us > LONG_AGO_US
