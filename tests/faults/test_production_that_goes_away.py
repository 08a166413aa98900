"""Production dies, only reads, or comes back as it was some time ago: the gatherers still have what it lacks."""

import psycopg2
import pytest
from psycopg2 import sql

from tests.faults.backup import Backup
from tests.faults.gathering import let_pass
from tests.faults.platform import MERGED
from tests.processes import wait_until

CONFIRMED = "SELECT coalesce(max(ingest_id), 0) FROM confirmations WHERE table_name = 'orderbook_deltas'"
TERMINATE = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture
def platform(platform_with, another_server):
    return platform_with(production=another_server)


def change_database(server, name, change):
    """Holds for sessions to come, and there are no others."""
    connection = psycopg2.connect(server.dsn("postgres").reveal())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("ALTER DATABASE {} " + change).format(sql.Identifier(name)))
            cursor.execute(TERMINATE, (name,))
    finally:
        connection.close()


def wait_for_more_rows(platform):
    there = platform.value("SELECT count(*) FROM orderbook_deltas")
    wait_until(lambda: platform.value("SELECT count(*) FROM orderbook_deltas") > there, what="more rows")


def test_it_is_killed_and_it_only_reads_for_a_while(platform, another_server):
    name = platform.production.database
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        let_pass(platform.simulator, 2)
        another_server.kill()
        deduplicator.process.wait_for("merge failed: retrying")
        let_pass(platform.simulator, 2)
        another_server.start()
        wait_for_more_rows(platform)
        change_database(another_server, name, "SET default_transaction_read_only = on")
        deduplicator.process.wait_for("read-only transaction")
        let_pass(platform.simulator, 3)
        change_database(another_server, name, "RESET default_transaction_read_only")
        wait_for_more_rows(platform)
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
    assert platform.value("SELECT count(*) FROM quarantine") == 0


@pytest.mark.long
def test_it_fails_over_to_what_it_was_some_time_ago(platform, another_server):
    one = platform.databases["one"]
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        wait_for_more_rows(platform)
        backup = Backup(another_server)
        at_backup = platform.value(MERGED, "one", "orderbook_deltas")
        let_pass(platform.simulator, 3)
        # Gatherers were told meanwhile that rows are safe which soon are not.
        wait_until(lambda: one.value(CONFIRMED) > at_backup, what="a confirmation that does not hold")
        backup.restore()
        wait_for_more_rows(platform)
        let_pass(platform.simulator, 2)
        platform.wait_until_audited()
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
