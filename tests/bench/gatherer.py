"""A whole gatherer, from the socket to the committed row: at full flow, with a million markets, and how soon.

The database is asked what was committed and the kernel how large the process is; only stalls are the process's own word.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import psutil
import trustme

from app.postgres.connection import connected
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import READ_SIZE
from tests.bench.copy import BATCH_ROWS, COPY
from tests.faults.gathering import Databases, exchange, gatherer, settings_of
from tests.processes import wait_until
from tests.servers import temporary_server

CONNECTIONS = 150
FLOW_SECONDS = 60
WARM_UP_SECONDS = 15
PLAIN_ROWS = 500_000
ALL_MARKETS = 1_335_000  # a million of them are open
LATENCY_SECONDS = 20
HALT_SECONDS = 1_200
NEARLY_ALL = 0.99
MB = 1_000_000
COLUMNS = ", ".join(ORDERBOOK_DELTAS.column_names)
COMMITTED = "SELECT coalesce(max(ingest_id), 0) FROM orderbook_deltas"
RECEIVED = "kalshi_messages_total"
GAPS = "SELECT count(*) FROM gaps"
LATENCY = """
    SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - received_at) * 1000
    )
    FROM orderbook_deltas WHERE received_at > now() - %s * INTERVAL '1 second'
"""


def run(report):
    flow(report, "plain", bar=80_000)
    flow(report, "tls", bar=50_000)
    million(report)
    for rate in (2_000, 10_000):
        latency(report, rate)


@contextlib.contextmanager
def running(*options, **settings):
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(temporary_server(track_commit_timestamp="on"))
        databases = Databases.of_its_own(server)
        simulator = stack.enter_context(exchange(folder, *options))
        given = settings_of(simulator, databases, folder / "data", KALSHI_WS_CONNECTIONS=CONNECTIONS, **settings)
        yield simulator, databases, stack.enter_context(gatherer(given))


def flow(report, transport, bar):
    """Every socket is sent as much as it takes."""
    with tempfile.TemporaryDirectory() as folder:
        options, settings = with_certificate(Path(folder)) if transport == "tls" else ((), {})
        with running("--blast", "--markets", 5_000, *options, **settings) as (_, databases, recorder):
            wait_until(lambda: databases.value(COMMITTED) > 0, what="rows")
            time.sleep(WARM_UP_SECONDS)
            gaps_before = databases.value(GAPS)
            received = recorder.metric(RECEIVED)
            before, memory_before, stalls = at_work(databases, recorder)
            time.sleep(FLOW_SECONDS)
            after, memory_after, more_stalls = at_work(databases, recorder)
            received = recorder.metric(RECEIVED) - received
            gaps = databases.value(GAPS) - gaps_before
            spooled = recorder.metric("kalshi_rows_spooled_total")
            recorder.kill()
            plain = plain_copy(databases) if transport == "plain" else None
    rate = (after[0] - before[0]) / (after[1] - before[1])
    conditions = {"seconds": FLOW_SECONDS, "connections": CONNECTIONS}
    report(f"gatherer_{transport}_msgs_per_s", rate, "msg/s", bar, **conditions)
    # More than is committed goes to disk, and none of it waits at the exchange.
    report(f"gatherer_{transport}_received_per_s", received / (after[1] - before[1]), "msg/s", **conditions)
    report(f"gatherer_{transport}_gaps", gaps, "gaps", 0, at_least=False, **conditions)
    report(f"gatherer_{transport}_spooled", spooled, "rows", **conditions)
    stall_ms = 1_000 * quantile(0.99, stalls, more_stalls)
    report(f"gatherer_{transport}_stall_p99_ms", stall_ms, "ms", 100, at_least=False, **conditions)
    growth = memory_after / memory_before
    report(f"gatherer_{transport}_memory_growth", growth, "ratio", 1.1, at_least=False, rss_mb=memory_after / MB)
    if plain is not None:
        report("gatherer_plain_copy_rows_per_s", plain, "rows/s", rows=PLAIN_ROWS)
        report("gatherer_plain_to_copy", rate / plain, "ratio", **conditions)


def with_certificate(folder):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return ("--certificate", folder / "server.pem"), {"SSL_CERT_FILE": folder / "authority.pem"}


def at_work(databases, recorder):
    rows = databases.value(COMMITTED), time.monotonic()
    return rows, psutil.Process(recorder.pid).memory_info().rss, stall_counts(recorder)


def stall_counts(recorder):
    lines = recorder.get("/metrics").text.decode().splitlines()
    buckets = (line.split(" ") for line in lines if line.startswith("kalshi_hub_lag_seconds_bucket"))
    return {float(name.split('"')[1]): float(count) for name, count in buckets}


def quantile(share, before, after):
    """The upper bound of the bucket that holds it."""
    counts = {bound: count - before[bound] for bound, count in after.items()}
    return min(bound for bound, count in counts.items() if count >= share * counts[float("inf")])


def plain_copy(databases):
    """The same rows once more, as bytes that are ready, into a table like theirs."""
    with connected(databases.timeseries) as connection, connection.cursor() as cursor:
        batches, rows = [], 0
        cursor.execute(f"CREATE TEMPORARY TABLE same AS SELECT {COLUMNS} FROM orderbook_deltas LIMIT {PLAIN_ROWS}")
        cursor.execute("ALTER TABLE same ADD COLUMN number INTEGER GENERATED ALWAYS AS IDENTITY")
        cursor.execute("CREATE INDEX ON same (number)")
        for first in range(1, PLAIN_ROWS, BATCH_ROWS):
            batch = io.BytesIO()
            chosen = f"SELECT {COLUMNS} FROM same WHERE number BETWEEN {first} AND {first + BATCH_ROWS - 1}"
            cursor.copy_expert(f"COPY ({chosen}) TO STDOUT (FORMAT binary)", batch)
            batches.append(batch.getvalue())
            rows += cursor.rowcount
        cursor.execute("TRUNCATE orderbook_deltas")
        connection.commit()
        start = time.perf_counter()
        for content in batches:
            cursor.copy_expert(COPY, io.BytesIO(content), READ_SIZE)
            connection.commit()
        return rows / (time.perf_counter() - start)


def million(report):
    options = ("--markets", ALL_MARKETS, "--rate", 0)
    with running(*options, KALSHI_POLL_SECONDS=3_600) as (_, databases, recorder):
        started = time.monotonic()
        wait_until(lambda: "reading markets" in str(recorder.why_not_ready()), what="the walk through all markets")
        # Events are read after that: no book waits for them.
        synced = heard = ready = None
        while ready is None:
            reasons = recorder.why_not_ready()
            if synced is None and "reading markets" not in str(reasons):
                synced = time.monotonic()
            if heard is None and synced is not None and heard_share(recorder) > NEARLY_ALL:
                heard = time.monotonic()
            if heard is not None and reasons is None:
                ready = time.monotonic()
            assert time.monotonic() < started + HALT_SECONDS, reasons
            time.sleep(0.2)
        memory = psutil.Process(recorder.pid).memory_info().rss
        markets, books = recorder.metric("kalshi_registry_markets"), recorder.metric("kalshi_book_markets_heard")
        in_database = databases.metadata_value("SELECT count(*) FROM markets")
    conditions = {"markets": markets, "in_database": in_database, "books_heard": books}
    report("gatherer_sync_seconds", synced - started, "s", 120, at_least=False, **conditions)
    report("gatherer_all_heard_seconds", heard - started, "s", **conditions)
    report("gatherer_ready_seconds", ready - started, "s", **conditions)
    report("gatherer_million_rss_mb", memory / MB, "MB", 850, at_least=False, **conditions)


def heard_share(recorder):
    """Of the markets that are known: nearly all of the simulator's that are not settled are to be recorded."""
    return recorder.metric("kalshi_book_markets_heard") / recorder.metric("kalshi_registry_markets")


def latency(report, rate):
    with running("--markets", 2_000, "--rate", rate) as (_, databases, recorder):
        recorder.wait_until_ready()
        before, then = databases.value(COMMITTED), time.monotonic()
        time.sleep(LATENCY_SECONDS)
        per_second = (databases.value(COMMITTED) - before) / (time.monotonic() - then)
        p50_ms, p99_ms = map(float, databases.value(LATENCY, LATENCY_SECONDS))
    conditions = {"changes_per_s": rate, "deltas_per_s": round(per_second)}
    report(f"gatherer_commit_p50_ms_at_{rate}", p50_ms, "ms", **conditions)
    bar = 250 if rate == 10_000 else None
    report(f"gatherer_commit_p99_ms_at_{rate}", p99_ms, "ms", bar, at_least=False, **conditions)
