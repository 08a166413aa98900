"""A gatherer's journal and quarantine do not grow for ever, and nothing that still says something goes."""

from datetime import timedelta

import pytest

from app.postgres.connection import connected, value_of
from app.replicate.journal import JournalFollower
from app.storage.cleanup import OUTLASTS_RECORDS, bytes_beside_chunks, forget
from app.storage.confirmation import deduplicator_has_it
from app.storage.retention import maintain
from tests.gatherers import NOON, Gatherer, at, execute

BOOKS, TRADES = "orderbook_delta", "trade"
DAY_MINUTES = 24 * 60
PLENTY_BYTES = 10**12
DROPPED = "UPDATE chunked_tables SET dropped_through = %s WHERE table_name = ANY (%s)"
BOOK_TABLES = ["orderbook_deltas", "orderbook_snapshots"]
LONG_AFTER = NOON + timedelta(days=100)


@pytest.fixture
def gatherer(server, templates):
    return Gatherer(server, templates, "a")


@pytest.fixture
def follower(gatherer, production):
    gatherer.is_read_into(production)
    return JournalFollower(gatherer.name, gatherer.timeseries, production)


def drop_records(gatherer, through_minutes, tables=BOOK_TABLES):
    """As when the last chunk that goes ends so long after noon, by the time that their journal outlasts them."""
    execute(gatherer.timeseries, DROPPED, (at(through_minutes) + OUTLASTS_RECORDS, tables))


def forgotten(gatherer, max_bytes=PLENTY_BYTES, now=LONG_AFTER):
    with connected(gatherer.timeseries) as connection:
        return forget(connection, max_bytes, now)


def tickers(gatherer):
    return [ticker for (ticker,) in execute(gatherer.timeseries, "SELECT ticker FROM subscriptions ORDER BY ticker")]


def gaps(gatherer):
    return [number for (number,) in execute(gatherer.timeseries, "SELECT number FROM gaps ORDER BY number")]


def test_the_journal_goes_when_the_records_of_its_time_are_gone_and_production_has_it(gatherer, follower):
    gatherer.runs(0, 1_000)
    for ticker, until in (("A", 10), ("B", 19), ("C", 20), ("D", None), ("E", 1_000)):
        gatherer.listens(BOOKS, ticker, until=until)
    for number, until in enumerate((10, 19, 20, None, 1_000), start=1):
        gatherer.misses(5, until, number=number)
    follower.round()
    assert forgotten(gatherer) == (0, 0, 0)
    drop_records(gatherer, 20)
    assert forgotten(gatherer) == (2, 2, 0)
    assert (tickers(gatherer), gaps(gatherer)) == (["C", "D", "E"], [3, 4, 5])


def test_what_production_has_not_read_stays_at_any_age(gatherer, follower):
    gatherer.runs(0, 1_000).listens(BOOKS, "A", until=10).misses(5, 10, number=1)
    drop_records(gatherer, 500)
    assert forgotten(gatherer) == (0, 0, 0)
    follower.round()
    gatherer.listens(BOOKS, "B", until=10).misses(5, 10, number=2)
    assert forgotten(gatherer) == (0, 0, 0)
    follower.round()
    # The row read last is what readers know the database by.
    assert forgotten(gatherer) == (1, 1, 0)
    assert (tickers(gatherer), gaps(gatherer)) == (["B"], [2])


def test_each_channel_s_journal_goes_with_its_own_records(gatherer, follower):
    gatherer.runs(0, 1_000).listens(TRADES, "", until=10, conn=3).listens(BOOKS, "A", until=10).listens(BOOKS, "last")
    gatherer.misses(5, 10, conn=3, channel=TRADES, number=1).misses(5, 10, number=2).misses(900, 901, number=3)
    follower.round()
    drop_records(gatherer, 500)
    assert forgotten(gatherer) == (1, 1, 0)
    assert gaps(gatherer) == [1, 3]
    drop_records(gatherer, 500, ["trades"])
    assert forgotten(gatherer) == (1, 1, 0)
    assert (tickers(gatherer), gaps(gatherer)) == (["last"], [3])


def test_what_its_run_left_open_ended_with_it(gatherer, follower):
    gatherer.runs(0, 10, run_id=1).listens(BOOKS, "A", run_id=1).misses(5, None, number=1, run_id=1)
    gatherer.runs(30, 1_000, run_id=2).listens(BOOKS, "B", since=30, run_id=2).misses(31, None, number=1, run_id=2)
    follower.round()
    drop_records(gatherer, 500)
    assert forgotten(gatherer) == (1, 1, 0)
    assert tickers(gatherer) == ["B"]


def test_what_ended_long_before_its_run_goes_before_the_rest(gatherer, follower):
    gatherer.runs(0, 1_000, ended=1_000).listens(BOOKS, "A", until=10).listens(BOOKS, "last")
    gatherer.misses(5, 10, number=1).misses(900, 901, number=2)
    follower.round()
    drop_records(gatherer, 20)
    assert forgotten(gatherer) == (1, 1, 0)
    assert (tickers(gatherer), gaps(gatherer)) == (["last"], [2])


def test_a_run_that_may_still_live_keeps_what_is_open(gatherer, follower):
    gatherer.runs(0, 10).listens(BOOKS, "A").listens(BOOKS, "B").misses(5, None, number=1).misses(6, 7, number=2)
    follower.round()
    drop_records(gatherer, 500)
    assert forgotten(gatherer) == (0, 0, 0)
    gatherer.runs(0, 10, ended=11)
    assert forgotten(gatherer)[0] == 1


def journals(production):
    queries = ("SELECT * FROM gatherer_subscriptions ORDER BY ticker", "SELECT * FROM gatherer_gaps ORDER BY number")
    return [execute(production, query) for query in queries]


def test_production_keeps_what_it_knew_and_reads_on_undisturbed(gatherer, follower, production, caplog):
    gatherer.runs(0, 1_000)
    for number, ticker in enumerate("ABC", start=1):
        gatherer.listens(BOOKS, ticker, until=10).misses(5, 10, number=number)
    follower.round()
    before = journals(production)
    drop_records(gatherer, 500)
    assert forgotten(gatherer) == (2, 2, 0)
    assert follower.round() == {"subscriptions": 0, "gaps": 0, "runs": 1}
    assert journals(production) == before
    gatherer.runs(0, 1_001).listens(BOOKS, "D").misses(999, None, number=4)
    assert follower.round() == {"subscriptions": 1, "gaps": 1, "runs": 1}
    assert [message for message in caplog.messages if "anew" in message] == []


def test_a_round_that_brings_nothing_confirms_nothing(gatherer, follower):
    gatherer.runs(0, 10).listens(BOOKS, "A")
    query = "SELECT table_name, ingest_id, confirmed_at FROM confirmations ORDER BY 1"
    follower.round()
    confirmed = execute(gatherer.timeseries, query)
    assert [row[:2] for row in confirmed] == [("subscriptions", 1)]
    follower.round()
    assert execute(gatherer.timeseries, query) == confirmed


def put_aside(gatherer, day, payload=b"frame"):
    execute(
        gatherer.timeseries,
        "INSERT INTO quarantine (quarantined_at, reason, payload) VALUES (%s, '', %s)",
        (at(day * DAY_MINUTES), payload),
    )


def days_in_quarantine(gatherer):
    rows = execute(gatherer.timeseries, "SELECT quarantined_at FROM quarantine ORDER BY 1")
    return [(moment - NOON) // timedelta(days=1) for (moment,) in rows]


def test_what_was_put_aside_goes_when_the_oldest_records_would(gatherer):
    for day in range(4):
        put_aside(gatherer, day)
    assert forgotten(gatherer, now=at(32 * DAY_MINUTES)) == (0, 0, 2)
    assert days_in_quarantine(gatherer) == [2, 3]


def test_too_much_in_quarantine_costs_the_oldest_and_says_so(gatherer, caplog):
    for day in range(4):
        put_aside(gatherer, day, bytes(1_000) + bytes([day]))
    assert forgotten(gatherer, max_bytes=20 * 2_500, now=NOON) == (0, 0, 2)
    assert days_in_quarantine(gatherer) == [2, 3]
    assert "quarantine over its disk budget" in caplog.text
    assert forgotten(gatherer, max_bytes=20 * 2_500, now=NOON) == (0, 0, 0)


def test_what_lies_beside_the_chunks_counts_against_the_budget(gatherer):
    with connected(gatherer.timeseries) as connection:
        before = maintain(connection, deduplicator_has_it, PLENTY_BYTES, NOON).size_bytes
        beside = bytes_beside_chunks(connection)
        connection.commit()
        for number in range(50):
            put_aside(gatherer, number, bytes(50_000) + bytes([number]))
        execute(
            gatherer.timeseries,
            "INSERT INTO quarantine (reason, payload) SELECT repeat(md5(n::TEXT), 30), md5(n::TEXT)::BYTEA FROM generate_series(1, 3000) AS n",
        )
        after = maintain(connection, deduplicator_has_it, PLENTY_BYTES, NOON).size_bytes
        assert after - before == bytes_beside_chunks(connection) - beside > 1_000_000
        assert value_of(connection, "SELECT pg_total_relation_size('quarantine')") <= after
