"""How long a gatherer takes from its start until it hears all books: a first start, and one that knows the markets.

The exchange is the simulator on the same machine, with the request budget of a Basic account: it sets the pace of a
first start.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from app.postgres.databases import DatabaseKind
from tests.faults.gathering import Databases, gatherer, migrated, settings_of
from tests.processes import wait_until
from tests.servers import temporary_server
from tests.simulator.running import running_simulator

# A quarter of them has settled: a walk leaves those out.
SIMULATED = 133_000
CONNECTIONS = 50
DEADLINE_SECONDS = 1_200
NEARLY_ALL = 0.999  # markets open and close meanwhile


def run(report):
    with tempfile.TemporaryDirectory() as folder, temporary_server() as server:
        templates = {kind: migrated(server, kind) for kind in (DatabaseKind.TIMESERIES, DatabaseKind.METADATA)}
        now = datetime.now(UTC).isoformat()
        options = ("--markets", SIMULATED, "--rate", 200, "--tier", "basic", "--start", now)
        with running_simulator(Path(folder) / "simulator", *options) as simulator:
            settings = settings_of(simulator, Databases(server, templates), Path(folder) / "data")
            settings["KALSHI_WS_CONNECTIONS"] = CONNECTIONS
            measure(report, settings)


def measure(report, settings):
    cold_seconds, books = started(settings, None)
    warm_seconds, _ = started(settings, books)
    conditions = {"books": books, "connections": CONNECTIONS, "tier": "basic"}
    report("cold_start_s", cold_seconds, "s", bar=180, at_least=False, **conditions)
    report("warm_start_s", warm_seconds, "s", bar=60, at_least=False, **conditions)
    report("cold_to_warm", cold_seconds / warm_seconds, "ratio")


def started(settings, known):
    """Return how long it took until so many books were heard, or until it was ready; and how many are heard then."""
    began = time.monotonic()
    with gatherer(settings) as recorder:
        wait_until(lambda: is_there(recorder, known), DEADLINE_SECONDS, "all books")
        seconds, heard = time.monotonic() - began, books_heard(recorder)
        wait_until(lambda: recorder.why_not_ready() is None, DEADLINE_SECONDS, "readiness")
        recorder.stop()
    return seconds, heard


def is_there(recorder, known):
    return recorder.why_not_ready() is None if known is None else books_heard(recorder) >= known * NEARLY_ALL


def books_heard(recorder):
    return recorder.metric("kalshi_book_markets_heard")
