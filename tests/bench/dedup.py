"""The deduplicator over three gatherers' databases: how fast it catches up, beside a plain COPY of what comes out of it,
and how old rows are in production when they come in live.

All databases are on one server, which also does the gatherers' part of the work, on the same processors.
"""

import io
import itertools
import random
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.binary_copy import copy_bytes
from app.storage.migrations import migrate, migrations_of
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.bench.copy import READ_SIZE, seconds_of
from tests.processes import running
from tests.servers import new_database, temporary_server

GATHERERS = ("gatherer-1a", "gatherer-1b", "gatherer-1c")
UNIQUE_ROWS = 1_500_000
BATCH_ROWS = 5_000
MARKETS = 2_000
LIVE_ROWS_PER_S = 2_000
LIVE_BATCH_ROWS = 100
LIVE_SECONDS = 30
COPY = f"COPY orderbook_deltas ({', '.join(PRODUCTION_ORDERBOOK_DELTAS.column_names)}) FROM STDIN (FORMAT binary)"


def run(report):
    # More chunks are made ahead than a week of a gatherer's has: looking for news has to be cheap among them.
    with temporary_server() as server:
        templates = {kind: template(server, kind) for kind in (DatabaseKind.TIMESERIES, DatabaseKind.PRODUCTION)}
        gatherers = {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in GATHERERS}
        production = new_database(server, templates[DatabaseKind.PRODUCTION])
        plain = new_database(server, templates[DatabaseKind.PRODUCTION])
        fill(gatherers)
        figures = catch_up(gatherers, production, plain)
        conditions = {"gatherers": len(GATHERERS), "unique_rows": UNIQUE_ROWS, "chunks_of_a_gatherer": 216}
        report("plain_copy_rows_per_s", figures["plain"], "rows/s", **conditions)
        report("dedup_rows_in_per_s", figures["in"], "rows/s", bar=150_000, **conditions)
        report("dedup_unique_rows_per_s", figures["unique"], "rows/s", bar=50_000, **conditions)
        report("dedup_to_plain_copy", figures["unique"] / figures["plain"], "ratio", bar=0.5, **conditions)
        report("dedup_memory_growth", figures["growth_bytes"], "bytes", bar=50_000_000, at_least=False, **conditions)
        report("dedup_memory", figures["memory_bytes"], "bytes", **conditions)
        ages = live(gatherers, production)
        conditions = {"gatherers": len(GATHERERS), "rows_per_s_each": LIVE_ROWS_PER_S, "seconds": LIVE_SECONDS}
        report("dedup_catch_up_to_live", figures["in"] / (3 * LIVE_ROWS_PER_S), "ratio", **conditions)
        report("dedup_freshness_p50_s", percentile(ages, 50), "s", **conditions)
        report("dedup_freshness_p99_s", percentile(ages, 99), "s", bar=1, at_least=False, **conditions)


def template(server, kind):
    made = new_database(server)
    now = datetime.now(UTC)
    with connected(made) as connection:
        migrate(connection, migrations_of(kind))
        for table in ("orderbook_deltas", "tickers"):
            query = "SELECT ensure_chunks(%s, %s, %s)"
            value_of(connection, query, (table, now - timedelta(days=7), now + timedelta(days=2)))
        connection.commit()
    return made


def rows_from(start_us, seed):
    """Deltas as they come: 26-character tickers, hot and quiet ones, five per millisecond."""
    chance = random.Random(seed)
    tickers = [f"KXBENCH-26NOV21-T{number:09}" for number in range(MARKETS)]
    for number in itertools.count():
        exchange_us = start_us + number // 5 * 1_000
        delta_e2 = chance.choice((-1, 1)) * chance.randrange(1, 50_000)
        ticker = tickers[min(int(chance.paretovariate(0.7)), MARKETS) - 1]
        record = (exchange_us, exchange_us + 20_000, number, delta_e2, chance.randrange(1, 100) * 10_000)
        yield (*record, 0, chance.random() < 0.5, False, False, ticker, 7, 2, number)


def some_time_ago():
    return (int(time.time()) - 3_600) * 1_000_000


def fill(gatherers):
    writers = [CopyWriter(ORDERBOOK_DELTAS, dsn) for dsn in gatherers.values()]
    rows = rows_from(some_time_ago(), seed=1)
    for _ in range(UNIQUE_ROWS // BATCH_ROWS):
        batch = list(itertools.islice(rows, BATCH_ROWS))
        for writer in writers:
            writer.write(batch)
    for writer in writers:
        writer.close()


@contextmanager
def deduplicator(gatherers, production):
    dsns = ";".join(f"{name}={dsn.reveal()}" for name, dsn in gatherers.items())
    command = ("-m", "workers", "deduplicator")
    with running(*command, KALSHI_GATHERER_DSNS=dsns, KALSHI_PRODUCTION_DSN=production.reveal()) as process:
        yield process


def catch_up(gatherers, production, plain):
    """The plain COPY has its turn alone before and after, so that it is not luckier with the noise."""
    plain_seconds = copy_plainly(plain, UNIQUE_ROWS // 5)
    memory_bytes = []
    with deduplicator(gatherers, production) as process, connected(production) as connection:
        process.wait_for("orderbook_deltas")
        begun = time.perf_counter()
        while merged_rows(connection) < 3 * UNIQUE_ROWS:
            memory_bytes.append(resident_bytes(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        unique = value_of(connection, "SELECT count(*) FROM orderbook_deltas")
    assert unique == UNIQUE_ROWS, unique
    plain_seconds += copy_plainly(plain, UNIQUE_ROWS // 5)
    half = len(memory_bytes) // 2
    return {
        "plain": 2 * (UNIQUE_ROWS // 5) / plain_seconds,
        "in": 3 * UNIQUE_ROWS / seconds,
        "unique": UNIQUE_ROWS / seconds,
        "growth_bytes": max(memory_bytes[half:]) - max(memory_bytes[:half]),
        "memory_bytes": max(memory_bytes),
    }


def merged_rows(connection):
    read = value_of(connection, "SELECT coalesce(sum(rows_read), 0) FROM merge_statistics")
    connection.commit()
    return read


def resident_bytes(pid):
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1_024


def copy_plainly(dsn, count):
    """Into the same schema, in batches of the size that the deduplicator's rounds have."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        known = value_of(connection, "SELECT count(*) FROM orderbook_deltas")
        rows = itertools.islice(rows_from(some_time_ago(), seed=1), known, known + count)
        seconds = 0.0
        while batch := [row[:10] for row in itertools.islice(rows, 3 * BATCH_ROWS)]:
            content = copy_bytes(PRODUCTION_ORDERBOOK_DELTAS, batch)
            seconds += seconds_of(lambda: copy(connection, cursor, content))
    return seconds


def copy(connection, cursor, content):
    cursor.copy_expert(COPY, io.BytesIO(content), READ_SIZE)
    connection.commit()


def live(gatherers, production):
    """Seconds from when a batch's rows happened until they were seen in production, by batch."""
    stopping = threading.Event()
    marks, ages = {}, []
    with deduplicator(gatherers, production) as process:
        process.wait_for("orderbook_deltas")
        threads = [threading.Thread(target=record, args=(dsn, marks, stopping)) for dsn in gatherers.values()]
        for thread in threads:
            thread.start()
        until = time.monotonic() + LIVE_SECONDS
        with connected(production) as connection:
            while time.monotonic() < until:
                ages += new_ages(connection, marks)
                time.sleep(0.005)
        stopping.set()
        for thread in threads:
            thread.join()
    return ages


def record(dsn, marks, stopping):
    """Writes the same rows as the other gatherers do, each batch when it happened."""
    writer = CopyWriter(ORDERBOOK_DELTAS, dsn)
    chance = random.Random(2)
    seconds_per_batch = LIVE_BATCH_ROWS / LIVE_ROWS_PER_S
    number = int(time.time() / seconds_per_batch) + 20
    while not stopping.is_set():
        at = number * seconds_per_batch
        time.sleep(max(at - time.time(), 0))
        at_us = int(at * 1_000_000)
        clock = number * LIVE_BATCH_ROWS
        writer.write(
            [
                (
                    at_us,
                    at_us,
                    clock + part,
                    100,
                    500_000,
                    0,
                    True,
                    False,
                    False,
                    f"KXLIVE-{part}",
                    7,
                    2,
                    chance.randrange(9),
                )
                for part in range(LIVE_BATCH_ROWS)
            ]
        )
        marks[clock + LIVE_BATCH_ROWS - 1] = at
        number += 1
    writer.close()


def new_ages(connection, marks):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT clock FROM orderbook_deltas WHERE ticker = %s AND exchange_ts > now() - INTERVAL '10 seconds'",
            (f"KXLIVE-{LIVE_BATCH_ROWS - 1}",),
        )
        clocks = {clock for (clock,) in cursor.fetchall()}
    connection.commit()
    now = time.time()
    return [now - marks.pop(clock) for clock in list(marks) if clock in clocks]


def percentile(values, percent):
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]
