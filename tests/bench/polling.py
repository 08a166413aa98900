"""Books polled per second from a simulator on the same machine, and per second of the poller's own processor time,
which is what a gatherer is short of. Beside it what a million remembered markets take."""

import json
import os
import subprocess
import sys
import tempfile
import tracemalloc

from app.polling.book_cycles import MOST_FETCHERS
from app.polling.books import SeenBooks
from tests.polling.books import row_of
from tests.polling.exchanges import simulated
from tests.processes import ROOT, environment

PROGRAM = "tests.bench.programs.poll_books"
MARKETS = 5_000
SECONDS = 10
REMEMBERED = 1_000_000


def run(report):
    os.environ["NO_PROXY"] = "127.0.0.1"
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated(folder, "--markets", MARKETS, "--rate", 50) as (_, exchange),
    ):
        for fetchers in (1, MOST_FETCHERS):
            found = polled(exchange.url, fetchers)
            conditions = {"fetchers": fetchers, "markets": found["markets"], "seconds": SECONDS}
            report("books_per_s", found["books_per_s"], "books/s", **conditions)
            # A gatherer's third of the highest tier's budget is 40,000 books a second.
            bar = 20_000 if fetchers == MOST_FETCHERS else None
            report("books_per_cpu_s", found["books_per_cpu_s"], "books/s", bar=bar, **conditions)
    report("bytes_per_market", bytes_per_market(), "bytes", bar=100, at_least=False, markets=REMEMBERED)


def polled(url, fetchers):
    command = [sys.executable, "-m", PROGRAM, url, str(SECONDS), str(fetchers)]
    settings = environment(NO_PROXY="127.0.0.1")
    done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def bytes_per_market():
    """Beside the registry's own strings."""
    tickers = [f"KXBENCH-{number}" for number in range(REMEMBERED)]
    row, seen = row_of(), SeenBooks()
    tracemalloc.start()
    for ticker in tickers:
        seen.note(ticker, row)
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken_bytes / REMEMBERED
