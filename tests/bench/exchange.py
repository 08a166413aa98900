"""How fast the simulated exchange makes its history, and how little it keeps; in the processor's time of one core."""

import tempfile
import time
import tracemalloc
from pathlib import Path

from app.simulator.market.catalog import Catalog
from app.simulator.market.exchange import Exchange
from app.simulator.truth import Header, Truth

START_US = 1_795_246_814_000_000
RATE = 100_000
SECONDS = 5
MILLION = 1_000_000
SLICE_US = 10_000


def run(report):
    changes = generated(report, "hot_changes_per_cpu_s", markets=100, bar=100_000)
    generated(report, "changes_per_cpu_s_of_a_million_markets", markets=MILLION)
    written(report, changes)
    kept(report)


def generated(report, figure, markets, bar=None):
    exchange = Exchange(Catalog(1, markets, START_US), RATE)
    changes, started = [], time.process_time()
    for number in range(1, SECONDS * MILLION // SLICE_US + 1):
        changes += exchange.advance(START_US + number * SLICE_US)
    cpu_seconds = time.process_time() - started
    report(figure, len(changes) / cpu_seconds, "changes/s", bar, markets=markets, seconds=SECONDS)
    return changes


def written(report, changes):
    with tempfile.TemporaryDirectory() as folder:
        truth = Truth(Path(folder) / "truth", Header(1, 100, START_US, RATE))
        started = time.process_time()
        for change in changes:
            truth.sent("connection", truth.history(change))
        truth.close()
        cpu_seconds = time.process_time() - started
        size_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    report("truth_changes_per_cpu_s", len(changes) / cpu_seconds, "changes/s", connections=1)
    report("truth_bytes_per_change", size_bytes / len(changes), "bytes", connections=1)


def kept(report):
    tracemalloc.start()
    exchange = Exchange(Catalog(1, MILLION, START_US), 0)
    exchange.advance(START_US + MILLION)
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    report("bytes_per_quiet_market", used_bytes / exchange.market_count, "bytes", 200, at_least=False, markets=MILLION)
