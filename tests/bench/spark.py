"""A rebuild of one generated day by Spark on two executors, beside DuckDB's on the same machine: the same bytes.

BENCH_ROWS is how many changes the day has, BENCH_MEMORY_MB the memory of each executor. Three gatherers
received each change, except that each lost another fiftieth, and some of the second's have no time of their own. Spill is
what Spark's own event log counts.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from app.lake.engines import duckdb_engine
from app.lake.rebuild import rebuild
from app.lake.spark import Place, spark_session
from app.lake.spark_rebuild import rebuild_on_spark
from app.lake.storage import FolderStorage
from app.settings import Settings
from kalshi_data.layout import DELTAS, HOUR, IDENTITY, hour_folder
from kalshi_data.schema import LINEAGE, ROW_GROUP_ROWS, encodings, schema_of
from tests.bench.library import DAY, changes_of

ROWS = int(os.environ.get("BENCH_ROWS", "2_000_000"))
MEMORY_MB = int(os.environ.get("BENCH_MEMORY_MB", "1024"))
HOURS = 24
GATHERERS = ("a", "b", "c")
LOST, UNTIMED = 50, 500  # one of so many


def run(report):
    with tempfile.TemporaryDirectory(prefix="kalshi-bench-") as name:
        folder = Path(name)
        rows = generate(folder / "lake")
        lake, period = FolderStorage(folder / "lake"), (DAY, DAY + HOURS * HOUR)
        started = time.perf_counter()
        with duckdb_engine() as engine:
            merged = rebuild(engine, lake, FolderStorage(folder / "duckdb"), *period)[DELTAS]
        duckdb_seconds = time.perf_counter() - started
        conditions = {"raw_rows": rows, "merged_rows": merged, "gatherers": len(GATHERERS)}
        report("duckdb_rows_per_s", rows / duckdb_seconds, "rows/s", **conditions)
        seconds, log = on_spark(folder, lake, period)
        conditions |= {"executors": 2, "executor_memory_mb": MEMORY_MB}
        report("spark_rows_per_s", rows / seconds, "rows/s", **conditions)
        report("spark_to_duckdb_ratio", duckdb_seconds / seconds, "ratio", **conditions)
        for kind in ("Memory", "Disk"):
            report(f"spark_{kind.lower()}_spilled_mb", spilled(log, kind) / 1e6, "MB", **conditions)
        is_same = content(folder / "spark") == content(folder / "duckdb")
        report("same_bytes", int(is_same), "", bar=1, objects=len(content(folder / "spark")))


def on_spark(folder, lake, period):
    """Return how long the rebuild took, without the start of the executors, and Spark's event log."""
    log = folder / "log"
    log.mkdir()
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": log.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.sql.shuffle.partitions": str(max(8, ROWS // 500_000)),
        "spark.ui.showConsoleProgress": "false",
    }
    chosen = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local-cluster[2,1,{MEMORY_MB}] {chosen} pyspark-shell"
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(folder / "workers")}
    os.environ["SPARK_LOCAL_DIRS"] = str(folder / "shuffled")
    with spark_session() as session:
        session.range(2).count()
        started = time.perf_counter()
        into = FolderStorage(folder / "spark")
        rebuild_on_spark(session, Place.of(lake, Settings()), Place.of(into, Settings()), *period)
        return time.perf_counter() - started, log


def spilled(log, kind):
    events = (json.loads(line) for path in log.iterdir() for line in path.read_text().splitlines())
    ended = (event for event in events if event["Event"] == "SparkListenerTaskEnd")
    return sum(event.get("Task Metrics", {}).get(f"{kind} Bytes Spilled", 0) for event in ended)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}


def generate(folder):
    """Write raw/ of a day. Return how many rows it has, of all gatherers together."""
    draw = np.random.default_rng(0)
    rows_an_hour, rows = ROWS // HOURS, 0
    for number in range(HOURS):
        hour = DAY + number * HOUR
        changes = pa.table(changes_of(draw, hour, rows_an_hour, number * rows_an_hour))
        for position, gatherer in enumerate(GATHERERS):
            heard = as_heard(changes, position)
            write(folder / f"raw/{DELTAS}/gatherer={gatherer}" / hour_folder(hour) / "part-1.parquet", heard)
            rows += heard.num_rows
    return rows


def as_heard(changes, position):
    numbers = np.arange(changes.num_rows)
    received = pc.add(changes["received_at"], pa.scalar(position * 1_000, pa.duration("us")))
    is_untimed = (numbers % UNTIMED == 1) & (position == 1)
    later = pc.add(changes["exchange_ts"], pa.scalar(5_000, pa.duration("us")))
    columns = {name: changes[name] for name in changes.column_names} | {
        "received_at": received,
        "ts_missing": pa.array(is_untimed),
        "exchange_ts": pc.if_else(pa.array(is_untimed), later, changes["exchange_ts"]),
        **{name: pa.array(numbers % 100) for name in LINEAGE},
    }
    return pa.table(columns).filter(pa.array(numbers % LOST != position))


def write(path, heard):
    path.parent.mkdir(parents=True)
    schema = schema_of(DELTAS, LINEAGE)
    rows = heard.select(schema.names).cast(schema).sort_by([(name, "ascending") for name in IDENTITY[DELTAS][:2]])
    parquet.write_table(rows, path, row_group_size=ROW_GROUP_ROWS, **encodings(schema))
