"""The workers that say how complete production is, as greenlets of one process."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from prometheus_client import REGISTRY

from app.postgres.connection import connected
from app.runtime.threads import inline
from tests.gatherers import NOON, Gatherer, execute, put_market
from tests.processes import running, wait_until
from tests.servers import temporary_server
from tests.storage.migrated import migrated_database
from workers.deduplicator.coverage_keeper import CoverageKeeper

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys
from datetime import timedelta
from functools import partial
from app.runtime import logs
from app.replicate.follower import METADATA_COPIES, Follower
from app.replicate.journal import JournalFollower
from app.runtime.threads import threads
from app.postgres.dsn import Dsn
from workers.deduplicator.auditor import Auditor, QuoteAuditor
from workers.deduplicator.coverage_keeper import CoverageKeeper
from workers.deduplicator.gatherer_follower import GathererFollower
from workers.process.group import Group

logs.configure("json", "info")
timeseries, metadata, production = map(Dsn, sys.argv[1:])
group, offload = Group(), threads(5)
journal = JournalFollower("a", timeseries, production).round
catalogue = Follower("a", metadata, production, METADATA_COPIES).round
followers = [GathererFollower("a", what, follow, 0.1, offload, group.stopping)
             for what, follow in (("journal", journal), ("metadata", catalogue))]
for worker in (*followers, CoverageKeeper(production, offload, group.stopping), Auditor(production, offload, group.stopping),
               QuoteAuditor(production, offload, group.stopping)):
    group.spawn(worker.run)
print([follower.why_not_ready() for follower in followers], flush=True)
group.run_until_stopped()
print([follower.why_not_ready() for follower in followers])
"""


@pytest.fixture
def gatherer(server, templates, production):
    return Gatherer(server, templates, "a").is_read_into(production)


def program(*dsns):
    return running("-c", PROGRAM, *(dsn.reveal() for dsn in dsns))


def ago(minutes):
    """In minutes after the noon that gatherers of tests count from."""
    return (datetime.now(UTC) - timedelta(minutes=minutes) - NOON).total_seconds() / 60


def test_what_a_gatherer_writes_becomes_coverage(gatherer, production):
    put_market(gatherer.metadata, "KXTEST-1")
    gatherer.runs(ago(30), ago(0)).listens_to_all(ago(30), ["KXTEST-1"]).misses(ago(25), ago(24))
    with program(gatherer.timeseries, gatherer.metadata, production) as process:
        query = "SELECT count(*) FROM coverage WHERE ticker = 'KXTEST-1' AND repaired_by = '{a}'"
        wait_until(lambda: execute(production, query) != [(0,)], what="the hole")
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 0
    assert process.lines[-1] == "[None, None]\n"


def test_a_gatherer_that_is_away_is_waited_for_and_said(server, templates, gatherer, production):
    with temporary_server() as away:
        timeseries = migrated_database(away)
        away.kill()
        with program(timeseries, gatherer.metadata, production) as process:
            process.wait_for("replication from a gatherer failed: retrying")
            away.start()
            query = "SELECT count(*) FROM gatherer_contacts"
            wait_until(lambda: execute(production, query) == [(1,)], what="its journal")
            process.signal(signal.SIGTERM)
            assert process.exit_code() == 0


def judged_seconds():
    return REGISTRY.get_sample_value("kalshi_coverage_judge_seconds_sum")


def test_to_forget_what_is_old_makes_judging_no_rarer(production):
    execute(
        production,
        """INSERT INTO gatherer_contacts (gatherer, system_identifier, contacted_at) VALUES ('a', 1, now());
        INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)
        VALUES ('a', 1, now() - INTERVAL '1 hour', now(), now())""",
    )
    is_held_up = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock' AND query LIKE '%DELETE FROM quarantine%'"""
    keeper = CoverageKeeper(production, inline, Event())
    before = judged_seconds()
    with ThreadPoolExecutor(1) as pool:
        with connected(production) as other, other, other.cursor() as cursor:
            cursor.execute("LOCK TABLE quarantine IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            step = pool.submit(keeper.step)
            wait_until(lambda: execute(production, is_held_up) == [(1,)], what="forgetting")
            most_seconds = time.monotonic() - started
        assert step.result()
    assert 0 < judged_seconds() - before <= most_seconds
