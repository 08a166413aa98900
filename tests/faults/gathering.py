"""A gatherer as a process of its own, between the simulator and real databases; and what it left there."""

import contextlib
import json
import os
import signal
import time
from datetime import UTC, datetime

import msgspec

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.simulator.check.check import SimCheck
from app.simulator.check.databases import GathererRows
from app.simulator.check.matcher import Delivered
from app.simulator.truth import TruthReader
from app.storage.migrations import migrate, migrations_of
from tests.processes import DEADLINE_SECONDS, running, wait_until
from tests.servers import new_database
from tests.simulator.judging import found
from tests.simulator.running import fetch, running_simulator

READY_SECONDS = 240
OPTIONS = ("--markets", 300, "--rate", 200, "--tier", "unlimited")


class Databases:
    """A gatherer's two."""

    def __init__(self, server, templates):
        self.server = server
        self.timeseries = new_database(server, templates[DatabaseKind.TIMESERIES])
        self.metadata = new_database(server, templates[DatabaseKind.METADATA])

    @classmethod
    def of_its_own(cls, server):
        return cls(server, {kind: migrated(server, kind) for kind in (DatabaseKind.TIMESERIES, DatabaseKind.METADATA)})

    def value(self, query, *parameters):
        with connected(self.timeseries) as connection:
            return value_of(connection, query, parameters or None)

    def metadata_value(self, query):
        with connected(self.metadata) as connection:
            return value_of(connection, query)

    def rows(self, query):
        with connected(self.timeseries) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


def migrated(server, kind):
    dsn = server.ensure_database(kind.database)
    with connected(dsn) as connection:
        migrate(connection, migrations_of(kind))
    return dsn


def settings_of(simulator, databases, folder, key=0, **others):
    return {
        "KALSHI_REST_URL": simulator.where["rest"],
        "KALSHI_WS_URL": simulator.where["websocket"],
        "KALSHI_API_KEY_ID": simulator.where["keys"][key]["key_id"],
        "KALSHI_API_PRIVATE_KEY_FILE": simulator.where["keys"][key]["private_key_file"],
        "KALSHI_TS_DSN": databases.timeseries.reveal(),
        "KALSHI_META_DSN": databases.metadata.reveal(),
        "KALSHI_DATA_DIR": folder,
        "KALSHI_OPS_ADDRESS": "127.0.0.1:0",
        "KALSHI_GATHERER": "one",
        "KALSHI_GATHERERS": 1,
        "KALSHI_WS_CONNECTIONS": 10,
        "KALSHI_LOG_FORMAT": "json",
        **others,
    }


class Running:
    def __init__(self, process):
        self.process = process
        self.pid = process.pid

    @property
    def ops(self):
        return json.loads(self.process.wait_for("listening"))["url"]

    def get(self, path):
        return fetch(self.ops + path)

    def why_not_ready(self):
        answer = self.get("/ready")
        return None if answer.status == 200 else answer.body

    def wait_until_ready(self):
        wait_until(lambda: self.why_not_ready() is None, READY_SECONDS, "the gatherer's readiness")
        return self

    def metric(self, name):
        """The sum over its labels."""
        lines = self.get("/metrics").text.decode().splitlines()
        assert any(line.startswith(f"# HELP {name} ") for line in lines), name
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        assert self.process.exit_code() == -signal.SIGKILL

    def stop(self):
        self.signal(signal.SIGTERM)
        code = self.process.exit_code()
        assert code == 0, "".join(self.process.lines[-30:])


@contextlib.contextmanager
def exchange(folder, *options):
    """The simulator in our own time: a gatherer's journal speaks of that."""
    now = datetime.now(UTC).isoformat()
    with running_simulator(folder / "simulator", "--start", now, *OPTIONS, *options) as simulator:
        yield simulator


@contextlib.contextmanager
def gatherer(settings):
    with running("-m", "workers", "gatherer", **settings) as process:
        yield Running(process)


def stop_in_order(simulator, recorder):
    """All that happened is sent, and all that was sent is received."""
    simulator.stop_the_clock()
    recorder.stop()


def judge(simulator, databases):
    """After the simulator has ended: its truth is written whole then."""
    assert simulator.stop() == 0
    with connected(databases.timeseries) as connection:
        report = SimCheck(TruthReader(simulator.truth), GathererRows(connection)).run()
    return {"ok": report.is_clean, **msgspec.to_builtins(report)}


def assert_exact(simulator, databases):
    report = judge(simulator, databases)
    different = {what: count for what, count in found(report).items() if what[1] != "unfillable"}
    books = {what: value for what, value in report["books"].items() if value}
    assert report["ok"], (different, books, [table["examples"] for table in report["tables"]])
    recorded = {table["table"] for table in report["tables"] if table["found"]}
    assert recorded >= {"orderbook_deltas", "trades", "tickers"}
    return report


def delivered_changes(simulator):
    reader = TruthReader(simulator.truth)
    delivered = Delivered(reader)
    return [change for ordinal, change in enumerate(reader.changes()) if ordinal in delivered]


def let_pass(simulator, seconds):
    """Of the exchange's time: what happens in it is told."""
    until_us = simulator.state()["now_us"] + int(seconds * 1_000_000)
    what = f"{seconds} s of the exchange"
    wait_until(lambda: simulator.state()["told_until_us"] >= until_us, seconds + DEADLINE_SECONDS, what)


def wait_for_rows(databases, count=1, table="orderbook_deltas", where="TRUE"):
    started = time.monotonic()
    wait_until(lambda: databases.value(f"SELECT count(*) FROM {table} WHERE {where}") >= count, what=f"rows of {table}")
    return time.monotonic() - started
