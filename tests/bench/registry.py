"""How long a registry takes to know a million markets, what it keeps of each, and how well others live beside it.

The exchange is the simulator on the same machine, asked as fast as it answers: it takes most of the time.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.processes import ROOT, environment
from tests.simulator.running import running_simulator

PROGRAM = "tests.bench.programs.sync_markets"
# Of so many a quarter has settled: a walk leaves those out.
SIMULATED = {"hundred_thousand": 133_000, "million": 1_330_000}


def run(report):
    for name, simulated in SIMULATED.items():
        with tempfile.TemporaryDirectory() as folder:
            measure(report, name, Path(folder), simulated)


def measure(report, name, folder, simulated):
    now = datetime.now(UTC).isoformat()
    options = ("--markets", simulated, "--rate", 0, "--tier", "unlimited", "--start", now)
    with running_simulator(folder, *options) as simulator:
        found = synced(simulator.where["rest"])
    is_million = name == "million"
    conditions = {"markets": found["markets"], "cpu_seconds": found["cpu_seconds"], "pages": found["answers"]}
    report(f"{name}_synced_s", found["seconds"], "s", bar=120 if is_million else None, at_least=False, **conditions)
    report(f"{name}_pages_per_s", found["answers"] / found["seconds"], "pages/s")
    report(f"{name}_markets_per_cpu_s", found["markets"] / found["cpu_seconds"], "markets/s")
    report(f"{name}_bytes_per_market", found["bytes_per_market"], "bytes", kind="resident")
    bar = 500_000_000 if is_million else None
    report(f"{name}_resident_bytes", found["resident_bytes"], "bytes", bar=bar, at_least=False)
    report(f"{name}_stall_p99_s", found["stall_p99_s"], "s", bar=0.1, at_least=False)
    report(f"{name}_stall_longest_s", found["stall_longest_s"], "s")
    report(f"{name}_active_page_p99_s", found["page_p99_s"], "s", bar=0.05, at_least=False, active=found["active"])


def synced(rest_url):
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, rest_url],
        env=environment(NO_PROXY="127.0.0.1"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
