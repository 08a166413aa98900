import signal

import pytest

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.tables import LIFECYCLE_EVENTS, ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, TICKERS, TRADES
from app.storage.writer import CopyWriter
from tests.gatherers import execute
from tests.processes import run, running, wait_until
from tests.servers import new_database, temporary_server
from tests.storage import rows
from tests.storage.migrated import migrated_database

DEDUPLICATOR = ("-m", "workers", "deduplicator")
TABLES = ("orderbook_deltas", "trades", "tickers", "orderbook_snapshots", "lifecycle_events")


@pytest.fixture
def gatherers(server, templates):
    return {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in ("a", "b")}


def settings(gatherers, production, **others):
    dsns = "\n".join(f"{name}={dsn.reveal()}" for name, dsn in gatherers.items())
    given = {"KALSHI_GATHERER_DSNS": dsns, "KALSHI_PRODUCTION_DSN": production.reveal()}
    return {**given, "KALSHI_OPS_ADDRESS": "127.0.0.1:0", **others}


def record(dsn, *clocks):
    writer = CopyWriter(ORDERBOOK_DELTAS, dsn)
    writer.write([rows.delta(clock=clock, ticker=f"KXTEST-{clock % 7}") for clock in clocks])
    writer.close()


def record_one_of_each(dsn):
    at_us = rows.NOON_US
    each = {
        ORDERBOOK_DELTAS: rows.delta(),
        TRADES: (at_us, at_us, 100, 500_000, True, False, False, "KXTEST-1", "a trade", 3, 1, 1),
        TICKERS: (at_us, at_us, 1, *[None] * 10, 0, False, "KXTEST-1", 1, 1),
        ORDERBOOK_SNAPSHOTS: rows.snapshot(),
        LIFECYCLE_EVENTS: (at_us, at_us, 1, 0, "KXTEST-1", "activated", b"{}", 5, 1, 1),
    }
    for table, row in each.items():
        writer = CopyWriter(table, dsn)
        writer.write([row])
        writer.close()


def count(dsn, table="orderbook_deltas"):
    with connected(dsn) as connection:
        return value_of(connection, f"SELECT count(*) FROM {table}")


def arrive(production, expected):
    wait_until(lambda: count(production) == expected, what=f"{expected} rows in production")


def confirmed(dsn):
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name, ingest_id FROM confirmations")
        return dict(cursor.fetchall())


def last_id(dsn, table):
    with connected(dsn) as connection:
        return value_of(connection, f"SELECT max(ingest_id) FROM {table}")


def test_it_merges_every_table_and_tells_gatherers_what_is_safe_and_ends_when_asked(gatherers, production):
    with running(*DEDUPLICATOR, **settings(gatherers, production)) as process:
        for dsn in gatherers.values():
            record_one_of_each(dsn)
        for table in TABLES:
            wait_until(lambda: count(production, table) == 1, what=table)
        record(gatherers["b"], *range(100, 110))
        arrive(production, 11)
        last_ids = {table: last_id(gatherers["b"], table) for table in TABLES}
        wait_until(lambda: confirmed(gatherers["b"]) == last_ids, what=f"{last_ids} confirmed")
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 0


def test_a_gatherer_that_is_down_holds_nobody_back_and_is_read_when_it_is_back(gatherers, production):
    with temporary_server() as other_server:
        far = migrated_database(other_server)
        record(far, 1, 2, 3)
        other_server.kill()
        with running(*DEDUPLICATOR, **settings({**gatherers, "far": far}, production)) as process:
            process.wait_for("gatherer database unreadable")
            record(gatherers["a"], 10)
            arrive(production, 1)
            with connected(production) as connection:
                query = "SELECT count(*) FROM sync_cursors WHERE gatherer = 'far' AND failing_since IS NOT NULL"
                wait_until(lambda: value_of(connection, query) == len(TABLES))
            other_server.start()
            arrive(production, 4)


def test_it_outlives_production_s_absence_and_goes_on_where_it_was(gatherers):
    with temporary_server() as production_server:
        production = migrated_database(production_server, DatabaseKind.PRODUCTION)
        record(gatherers["a"], *range(10))
        with running(*DEDUPLICATOR, **settings(gatherers, production)) as process:
            arrive(production, 10)
            production_server.kill()
            record(gatherers["b"], *range(20))
            process.wait_for("merge failed: retrying")
            production_server.start()
            arrive(production, 20)


def test_a_cursor_that_is_put_back_is_read_from_there_though_nothing_new_comes(gatherers, production):
    """Otherwise what is known of the gatherer would stand still until its next row."""
    with running(*DEDUPLICATOR, **settings(gatherers, production)):
        record(gatherers["a"], *range(10))
        arrive(production, 10)
        execute(production, "DELETE FROM orderbook_deltas")
        execute(production, "UPDATE sync_cursors SET ingest_id = 0, probe = NULL WHERE gatherer = 'a'")
        arrive(production, 10)


def test_two_share_the_work_and_one_that_is_killed_is_replaced(gatherers, production):
    both = settings(gatherers, production, KALSHI_DEDUP_SHARDS=2)
    with running(*DEDUPLICATOR, **both) as first, running(*DEDUPLICATOR, **both) as second:
        first.wait_for('"message": "shard taken over"')
        second.wait_for('"message": "shard taken over"')
        record(gatherers["a"], *range(100))
        arrive(production, 100)
        first.signal(signal.SIGKILL)
        record(gatherers["b"], *range(50, 200))
        arrive(production, 200)


def test_without_its_databases_it_ends_with_2_and_says_which_settings_are_missing(production):
    done = run(*DEDUPLICATOR, KALSHI_PRODUCTION_DSN=production.reveal())
    assert done.returncode == 2
    assert "KALSHI_GATHERER_DSNS" in done.stderr


@pytest.mark.parametrize("value", ["a", "a=host", "a=dbname=x;a=dbname=y", "A b=dbname=x", ";"])
def test_gatherers_that_cannot_be_meant_are_refused_without_being_shown(value):
    done = run(*DEDUPLICATOR, "--check-config", KALSHI_GATHERER_DSNS=value)
    assert done.returncode == 2
    assert "KALSHI_GATHERER_DSNS is a secret" in done.stderr
