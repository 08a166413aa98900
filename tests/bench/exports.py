"""Exports for backtesters: rows a second of each format, of a market with a million book changes in a day, on one core."""

import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

import kalshi_data as kd
from kalshi_data.exports.export import FORMATS, export_to
from tests.bench.library import BUSY, DAY, generate


def run(report):
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(prefix="kalshi-bench-") as name:
        folder = Path(name)
        generate(folder / "lake")
        lake = kd.open(folder / "lake")
        for format_name in FORMATS:
            started = time.perf_counter()
            [market] = export_to(lake, format_name, BUSY, DAY, DAY + timedelta(days=1), folder / format_name)
            seconds = time.perf_counter() - started
            rows = market.changes + market.trades
            report(f"export_{format_name.replace('-', '_')}_rows_per_s", rows / seconds, "rows/s", rows=rows)
    pa.set_cpu_count(threads)
