"""From put to commit: the recorder beside the bare writer, in turns, each a process of its own; and the spool alone."""

import itertools
import json
import time
from pathlib import Path

from app.storage.spool.spool import Spool
from app.storage.tables import ORDERBOOK_DELTAS
from tests.bench.copy import BATCH_ROWS, rows_forever
from tests.processes import run as run_process
from tests.servers import temporary_folder, temporary_server
from tests.workers.recording_process import new_databases

ROWS = 500_000
ROUNDS = 3


def run(report):
    with temporary_server() as server, temporary_folder() as folder:
        results = {way: [measure(way, server, folder) for _ in range(ROUNDS)] for way in ("writer", "recorder")}
    rate = {way: max(result["rows_per_s"] for result in results[way]) for way in results}
    stall_seconds = min(result["stall_p99_s"] for result in results["recorder"])
    conditions = {"rows": ROWS, "rounds": ROUNDS, "best_of_rounds": True}
    report("writer_rows_per_s", rate["writer"], "rows/s", **conditions)
    report("put_to_commit_rows_per_s", rate["recorder"], "rows/s", bar=80_000, **conditions)
    report("put_to_commit_to_writer", rate["recorder"] / rate["writer"], "ratio", bar=0.8, **conditions)
    report("put_to_commit_stall_p99_ms", 1_000 * stall_seconds, "ms", bar=100, at_least=False, **conditions)
    spool(report)


def measure(way, server, folder):
    done = run_process(
        "-m", "tests.bench.programs.record_rows", way, ROWS, KALSHI_DATA_DIR=folder, **new_databases(server)
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def spool(report):
    rows = list(itertools.islice(rows_forever(seed=1), ROWS))
    with temporary_folder() as folder:
        spool = Spool(Path(folder), ORDERBOOK_DELTAS, lambda _added_bytes: None)
        start = time.perf_counter()
        for first in range(0, ROWS, BATCH_ROWS):
            spool.append(rows[first : first + BATCH_ROWS])
        appended = time.perf_counter()
        size_bytes, replayed = spool.size_bytes, 0
        while found := spool.first(BATCH_ROWS):
            replayed += len(found)
            spool.remove_first()
        end = time.perf_counter()
    assert replayed == ROWS
    report("spool_append_rows_per_s", ROWS / (appended - start), "rows/s", bar=120_000, rows=ROWS)
    report("spool_replay_rows_per_s", ROWS / (end - appended), "rows/s", bar=120_000, rows=ROWS)
    report("spool_bytes_per_row", size_bytes / ROWS, "bytes", rows=ROWS)
