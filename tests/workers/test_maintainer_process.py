import signal
import time

import pytest

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.migrations import migrate, migrations_of
from tests.faults.gathering import Running
from tests.processes import run, running, wait_until
from tests.servers import new_database, temporary_server
from tests.storage.migrated import migrated_database

MAINTAINER = ("-m", "workers", "maintainer")


def maintaining(**settings):
    return running(*MAINTAINER, KALSHI_OPS_ADDRESS="127.0.0.1:0", **settings)


def chunks_in(dsn):
    with connected(dsn) as connection:
        return value_of(connection, "SELECT count(*) FROM chunks('orderbook_deltas')")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_makes_room_at_once_and_ends_cleanly_when_asked(timeseries, production, number):
    dsns = {"KALSHI_TS_DSN": timeseries.reveal(), "KALSHI_PRODUCTION_DSN": production.reveal()}
    with maintaining(**dsns) as process:
        process.wait_for('"database": "kalshi_ts"')
        process.wait_for('"database": "kalshi_production"')
        process.signal(number)
        assert process.exit_code() == 0
    assert chunks_in(timeseries) > 24
    assert chunks_in(production) >= 2


def test_it_looks_again_every_interval(timeseries):
    with maintaining(KALSHI_TS_DSN=timeseries.reveal(), KALSHI_MAINTENANCE_SECONDS=1) as process:
        process.wait_for('"created": 1')
        process.wait_for('"created": 0')


def test_it_outlives_a_database_that_is_down():
    with temporary_server() as server:
        dsn = migrated_database(server, DatabaseKind.TIMESERIES)
        server.kill()
        with maintaining(KALSHI_TS_DSN=dsn.reveal(), KALSHI_MAINTENANCE_SECONDS=1) as process:
            process.wait_for("maintenance failed: retrying in the next round")
            maintainer = Running(process)
            wait_until(lambda: "kalshi_ts" in str(maintainer.why_not_ready()), what="the reason")
            server.start()
            wait_until(lambda: maintainer.why_not_ready() is None, what="its readiness")


def test_it_tells_when_it_last_looked(timeseries):
    before = time.time()
    with maintaining(KALSHI_TS_DSN=timeseries.reveal()) as process:
        maintainer = Running(process)
        wait_until(lambda: maintainer.why_not_ready() is None, what="its readiness")
        assert before <= maintainer.metric("kalshi_maintained_timestamp_seconds") <= time.time()
        assert maintainer.metric("kalshi_chunks_bytes") > 0


def test_a_gatherer_s_metadata_is_looked_after_too(server, templates):
    metadata = new_database(server, templates[DatabaseKind.METADATA])
    with maintaining(KALSHI_META_DSN=metadata.reveal()) as process:
        process.wait_for('"database": "kalshi_meta"')
        maintainer = Running(process)
        wait_until(lambda: maintainer.why_not_ready() is None, what="its readiness")


def test_without_a_database_it_ends_with_2_and_says_which_setting_is_missing():
    done = run(*MAINTAINER)
    assert done.returncode == 2
    assert "KALSHI_TS_DSN" in done.stderr


def test_without_a_schema_it_says_what_to_run_and_waits_for_it(empty_database):
    with maintaining(KALSHI_TS_DSN=empty_database.reveal(), KALSHI_MAINTENANCE_SECONDS=1) as process:
        process.wait_for("run kalshi-data migrate")
        with connected(empty_database) as connection:
            migrate(connection, migrations_of(DatabaseKind.TIMESERIES))
        process.wait_for('"message": "maintenance finished"')
