"""What is asked for over HTTP, is done by the processes it is for: to be seen in production and in the lake."""

import signal
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from app.lake.reader import lake_of
from app.lake.storage import FolderStorage
from app.postgres.databases import DatabaseKind
from tests.admin.test_service import admin
from tests.faults.gathering import Databases, exchange, gatherer, settings_of
from tests.gatherers import execute
from tests.processes import running, wait_until
from tests.servers import new_database
from tests.simulator.running import START, fetch, running_simulator

BEGIN = datetime.fromisoformat(START)
HOUR = {"from": START, "to": (BEGIN + timedelta(hours=1)).isoformat()}
TRADES = "/trade-api/v2/markets/trades"
PATIENT_SECONDS = 180


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """With a history that goes on no more."""
    options = ("--markets", 50, "--rate", 500, "--speed", 20, "--tier", "unlimited")
    with running_simulator(tmp_path_factory.mktemp("simulator"), *options) as simulator:
        wait_until(lambda: len(trades_of(simulator)) > 300, PATIENT_SECONDS, "trades")
        simulator.stop_the_clock()
        yield simulator


@pytest.fixture
def gatherers(server, templates):
    """One that has recorded nothing."""
    return f"one={new_database(server, templates[DatabaseKind.TIMESERIES]).reveal()}"


@pytest.fixture
def deduplicator(simulator, production, gatherers):
    @contextmanager
    def start():
        settings = {
            "KALSHI_PRODUCTION_DSN": production.reveal(),
            "KALSHI_GATHERER_DSNS": gatherers,
            "KALSHI_REST_URL": simulator.where["rest"],
            "KALSHI_OPS_ADDRESS": "127.0.0.1:0",
        }
        with running("-m", "workers", "deduplicator", **settings) as process:
            yield process

    return start


@pytest.fixture
def asked(production):
    with admin(KALSHI_PRODUCTION_DSN=production.reveal()) as (address, _):
        yield Asked(address)


class Asked:
    def __init__(self, address):
        self._address = address

    def get(self, path, **parameters):
        answer = fetch(self._address + path, **parameters)
        assert answer.status == 200, answer.text
        return answer.body

    def post(self, path, body, status=202):
        answer = fetch(self._address + path, "POST", body, {"Content-Type": "application/json"})
        assert answer.status == status, answer.text
        return answer.body

    def wait_for(self, job, state):
        """What the job says then."""

        def found():
            jobs = self.get("/admin/jobs", state=state)["jobs"]
            return next((each for each in jobs if each["job_id"] == job["job_id"]), None)

        return wait_until(found, PATIENT_SECONDS, f"a {state} job")["outcome"]


def trades_of(simulator):
    return {trade["trade_id"] for trade in simulator.trades()}


def test_trades_that_are_asked_for_are_in_production_and_then_in_the_lake(
    simulator, deduplicator, production, asked, tmp_path
):
    expected = trades_of(simulator)
    lake = {"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": tmp_path / "lake"}
    with deduplicator(), running("-m", "workers", "exporter", **lake, KALSHI_OPS_ADDRESS="127.0.0.1:0"):
        job = asked.post("/admin/jobs/backfill", HOUR)
        assert f"{len(expected)} of them new" in asked.wait_for(job, "done")
        assert {trade_id for (trade_id,) in execute(production, "SELECT trade_id FROM trades")} == expected
        job = asked.post("/admin/jobs/export", {**HOUR, "table": "trades"})
        assert "1 of 1 hours written and read back" in asked.wait_for(job, "done")
    table = lake_of(FolderStorage(tmp_path / "lake")).dataset("trades").to_table()
    assert set(table["trade_id"].to_pylist()) == expected
    assert len(table) == len(expected)


def test_a_job_of_a_process_that_was_killed_is_done_by_the_next(simulator, deduplicator, production, asked):
    fault = simulator.inflict("rest_error", path=TRADES, status=503, count=0)
    with deduplicator() as process:
        job = asked.post("/admin/jobs/backfill", HOUR)
        process.wait_for("job started")
        process.signal(signal.SIGKILL)
        process.exit_code()
    simulator.lift(fault["fault_id"])
    asked.wait_for(job, "running")
    execute(production, "UPDATE jobs SET claimed_at = claimed_at - INTERVAL '31 minutes'")
    with deduplicator():
        assert f"{len(trades_of(simulator))} of them new" in asked.wait_for(job, "done")


def test_what_the_exchange_refuses_is_told_in_the_job(simulator, deduplicator, asked):
    simulator.inflict("rest_error", path=TRADES, status=400)
    with deduplicator():
        job = asked.post("/admin/jobs/backfill", HOUR)
        assert "400" in asked.wait_for(job, "failed")


def test_a_book_and_a_reconciliation_that_are_asked_for_are_had_by_a_gatherer(server, templates, production, tmp_path):
    databases = Databases(server, templates)
    with exchange(tmp_path) as simulator:
        # Nothing that it does by itself is to be taken for what it is told to do.
        seldom = dict.fromkeys(("KALSHI_POLL_SECONDS", "KALSHI_FULL_RECONCILE_SECONDS"), 3_600)
        settings = settings_of(simulator, databases, tmp_path / "one", **seldom)
        merging = {
            "KALSHI_PRODUCTION_DSN": production.reveal(),
            "KALSHI_GATHERER_DSNS": f"one={databases.timeseries.reveal()}",
            "KALSHI_GATHERER_META_DSNS": f"one={databases.metadata.reveal()}",
            "KALSHI_OPS_ADDRESS": "127.0.0.1:0",
        }
        with gatherer(settings) as recorder, running("-m", "workers", "deduplicator", **merging):
            recorder.wait_until_ready()
            ops = f"one={recorder.ops}"
            with admin(KALSHI_PRODUCTION_DSN=production.reveal(), KALSHI_GATHERER_OPS=ops) as (address, _):
                assert_polled(Asked(address), recorder)
                assert_reconciled(Asked(address), recorder)


def assert_polled(asked, recorder):
    ticker = recorder.get("/admin/markets/active?limit=1").body["markets"][0]["ticker"]
    (told,) = asked.post(f"/admin/markets/{ticker}/poll", None, 200)["gatherers"]

    def recorded():
        page = asked.get(f"/admin/markets/{ticker}/snapshots", source="rest")["snapshots"]
        return [each["snapshot_ts"] for each in page]

    wanted = datetime.fromisoformat(told["taken_at"])
    wait_until(lambda: wanted in map(datetime.fromisoformat, recorded()), PATIENT_SECONDS, "the book in production")


def assert_reconciled(asked, recorder):
    def walks():
        return sum("markets read" in line for line in recorder.process.lines)

    before = wait_until(walks)
    asked.post("/admin/reconcile", None, 200)
    wait_until(lambda: walks() >= 2 * before, PATIENT_SECONDS, "another walk through all markets")
    actions = [change["action"] for change in asked.get("/admin/changes")["changes"]]
    assert actions == ["reconcile", "poll"]
