"""What a connection writes of its own listening: never more than it was sent, however late that was."""

from itertools import count

import pytest

from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.journal import ALL_MARKETS, ALL_SUBSCRIPTIONS, BEFORE_THE_FIRST, WHOLE_EXCHANGE, Journal

RUN_ID = 1_000
LAG_US = 70


@pytest.fixture
def told():
    return []


@pytest.fixture
def journal(told):
    return Journal(RUN_ID, 3, count(5), told.append)


def rows(journal, table):
    return dict(journal.take()).get(table, [])


def open_gap(journal, started_us=2_000):
    return journal.open_gap("trade", "disconnected", started_us, sid=ALL_SUBSCRIPTIONS, markets=ALL_MARKETS, missing=4)


def test_a_gap_begins_when_its_opener_says_who_knows_when_the_last_message_was_sent(journal):
    journal.lag_us = LAG_US
    gap = open_gap(journal)
    assert rows(journal, GAPS) == [gap]
    assert (gap.started_us, gap.ended_us, gap.run_id, gap.number, gap.conn) == (2_000, None, RUN_ID, 5, 3)
    assert (gap.sid, gap.markets, gap.missing, gap.channel, gap.cause) == (-1, -1, 4, "trade", "disconnected")


def test_a_gap_ends_when_that_was_heard_and_never_before_it_began(journal):
    gap = open_gap(journal)
    journal.lag_us = LAG_US
    journal.close_gap(gap, 3_000)
    journal.close_gap(gap, 1_500)
    assert [row.ended_us for row in rows(journal, GAPS)] == [None, 3_000, 2_000]


def test_each_gap_has_a_number_of_its_own(journal):
    assert [open_gap(journal).number for _ in range(3)] == [5, 6, 7]


def test_listening_begins_with_what_was_received_and_ends_before_what_was_under_way(journal):
    journal.lag_us = LAG_US
    journal.began("trade", "A", 2_000)
    journal.ended("trade", "A", 2_000, 3_000)
    journal.ended("trade", "B", 2_000, 2_010)
    written = rows(journal, SUBSCRIPTIONS)
    assert [(row.started_us, row.ended_us) for row in written] == [
        (2_000, None),
        (2_000, 3_000 - LAG_US),
        (2_000, 2_000),
    ]
    assert {(row.run_id, row.conn, row.channel) for row in written} == {(RUN_ID, 3, "trade")}
    assert [row.ticker for row in written] == ["A", "A", "B"]


def test_a_list_that_came_late_proves_less_by_what_was_under_way(journal):
    at_once_us = journal.complete_until_us(2_000)
    journal.lag_us = LAG_US
    assert journal.complete_until_us(2_000) == at_once_us - LAG_US < 2_000


def test_rows_are_given_once_and_in_their_order(journal):
    journal.began("trade", WHOLE_EXCHANGE, 2_000)
    gap = open_gap(journal)
    journal.close_gap(gap, 3_000)
    taken = journal.take()
    assert [table for table, _ in taken] == [SUBSCRIPTIONS, GAPS]
    assert [row.ended_us for row in dict(taken)[GAPS]] == [None, 3_000]
    assert journal.take() == []


def test_whoever_wants_to_know_is_told_of_gaps_and_of_the_time_before_the_first_subscription(journal, told):
    journal.began("trade", WHOLE_EXCHANGE, 2_000)
    journal.began("orderbook_delta", "A", 2_500)
    gap = open_gap(journal)
    journal.close_gap(gap, 3_000)
    before, opened, closed = told
    assert (before.number, before.started_us, before.ended_us, before.conn) == (BEFORE_THE_FIRST, RUN_ID, 2_000, 3)
    assert (opened, closed.ended_us) == (gap, 3_000)
