"""A gatherer's database on TimescaleDB: what compressed chunks cost a look for new rows, what they spare of the disk, and
writing into hypertables beside PostgreSQL's own partitions, on the same server.

It is the server that TIMESCALEDB_DSN names, or one found here: tests/timescaledb.py.
"""

import itertools
import sys
import time
from datetime import UTC, datetime, timedelta

from app.merge.position import BEGINNING, Shard
from app.merge.source import GathererTable
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.migrations import migrate, migrations_of
from app.storage.retention import MOST
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.bench.dedup import rows_from
from tests.servers import new_database
from tests.timescaledb import NONE_HERE, timescaledb_server

CHUNKS = 101
ROWS_PER_CHUNK = 10_000
TICKERS = 3_000
COMPRESSED_CHUNKS = (0, 10, 100)
MOST_COMPRESSED = max(COMPRESSED_CHUNKS)
POLLS = 200
PULLS = 10
BATCH_ROWS = 5_000
BATCHES = 40
MS = 1_000
FILL = f"""
    INSERT INTO orderbook_deltas (
        exchange_ts, received_at, clock, delta_e2, price_e6, nth, yes_side, after_gap, ts_missing, ticker, conn, sid, seq
    )
    SELECT
        %(hour)s + row * INTERVAL '300 milliseconds', %(hour)s + row * INTERVAL '300 milliseconds', row,
        (random() * 1000)::INTEGER - 500, (1 + (random() * 98)::INTEGER) * 10000, 0, random() < 0.5, FALSE, FALSE,
        'KXBENCH-26NOV21-T' || lpad((power(random(), 2) * {TICKERS})::INTEGER::TEXT, 9, '0'), 7, 2, row
    FROM generate_series(1, {ROWS_PER_CHUNK}) AS row
"""
COMPRESS = f"""
    SELECT count(*) FILTER (WHERE compress_for_readers('orderbook_deltas', c.range_start, {MOST}))
    FROM (SELECT range_start FROM chunks_to_compress('orderbook_deltas', now()) LIMIT %s) AS c
"""
SIZES = """
    SELECT sum(before_compression_total_bytes), sum(after_compression_total_bytes)
    FROM chunk_compression_stats('orderbook_deltas') WHERE compression_status = 'Compressed'
"""
NO_HYPERTABLES = "CREATE OR REPLACE FUNCTION timescaledb_is_usable() RETURNS BOOLEAN LANGUAGE sql RETURN FALSE"
DROP = "SELECT drop_chunk('orderbook_deltas', %s, %s)"


def run(report):
    with timescaledb_server() as server:
        if server is None:
            print(f"timescaledb: not measured. {NONE_HERE}", file=sys.stderr)
            return
        filled = migrated(server, hypertables=True)
        fill(filled)
        databases = {chunks: copy(server, filled, chunks) for chunks in COMPRESSED_CHUNKS}
        conditions = {"chunks": CHUNKS, "rows_per_chunk": ROWS_PER_CHUNK, "tickers": TICKERS}
        reading(report, databases, conditions)
        dropping(report, databases[MOST_COMPRESSED], conditions)
        writing(report, filled, migrated(server, hypertables=False))


def migrated(server, *, hypertables):
    database = new_database(server)
    first, *others = migrations_of(DatabaseKind.TIMESERIES)
    with connected(database) as connection:
        migrate(connection, [first])
        if not hypertables:
            connection.cursor().execute(NO_HYPERTABLES)
            connection.commit()
        migrate(connection, [first, *others])
    return database


def fill(database):
    newest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with connected(database) as connection, connection.cursor() as cursor:
        for hours_ago in reversed(range(CHUNKS)):
            cursor.execute(FILL, {"hour": newest - timedelta(hours=hours_ago)})
            connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE orderbook_deltas")


def copy(server, filled, compressed_chunks):
    database = new_database(server, filled)
    with connected(database) as connection:
        compressed = value_of(connection, COMPRESS, (compressed_chunks,))
        connection.commit()
    assert compressed == compressed_chunks, compressed
    return database


def reading(report, databases, conditions):
    polls, reads = poll_seconds(databases), read_rows_per_s(databases)
    for chunks in databases:
        report("idle_poll_ms", polls[chunks] * MS, "ms", compressed_chunks=chunks, **conditions)
        report("catch_up_read_rows_per_s", reads[chunks], "rows/s", compressed_chunks=chunks, **conditions)
    compared = polls[MOST_COMPRESSED] / polls[0]
    report("idle_poll_compressed_to_not", compared, "ratio", bar=1.5, at_least=False, **conditions)
    report("catch_up_compressed_to_not", reads[MOST_COMPRESSED] / reads[0], "ratio", **conditions)
    with connected(databases[MOST_COMPRESSED]) as connection, connection.cursor() as cursor:
        cursor.execute(SIZES)
        before, after = cursor.fetchone()
    report("compressed_to_not_bytes", float(after / before), "ratio", bar=0.25, at_least=False, **conditions)


def source_of(database):
    return GathererTable("bench", database, ORDERBOOK_DELTAS, Shard(0, 1), 2_000_000)


def live_edge(source):
    """Where a deduplicator stands that has read everything."""
    position = BEGINNING
    while (pull := source.pull(position)).rows:
        position = pull.through
    return position


def in_turns(databases, times, step):
    """Seconds of each step by database, one after the other, so that none is luckier with the noise."""
    seconds = {name: [] for name in databases}
    for _ in range(times):
        for name in databases:
            begun = time.perf_counter()
            step(name)
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def poll_seconds(databases):
    """Of sessions that have planned their look, as those have that poll all day."""
    sources = {name: source_of(database) for name, database in databases.items()}
    edges = {name: live_edge(source) for name, source in sources.items()}

    def poll(name):
        assert sources[name].pull(edges[name]).rows == 0

    seconds = in_turns(databases, POLLS, poll)
    for source in sources.values():
        source.close()
    # What else the machine does only ever adds to it.
    return {name: min(each) for name, each in seconds.items()}


def read_rows_per_s(databases):
    sources = {name: source_of(database) for name, database in databases.items()}
    positions = {name: source.pull(BEGINNING).through for name, source in sources.items()}
    rows = dict.fromkeys(databases, 0)

    def read(name):
        pull = sources[name].pull(positions[name])
        positions[name] = pull.through
        rows[name] += pull.rows

    seconds = in_turns(databases, PULLS, read)
    for source in sources.values():
        source.close()
    return {name: rows[name] / sum(seconds[name]) for name in databases}


def dropping(report, database, conditions):
    """A compressed chunk, and one that is not."""
    seconds = {}
    with connected(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT is_compressed, range_start FROM chunks('orderbook_deltas') ORDER BY range_start DESC LIMIT 2"
        )
        for is_compressed, range_start in cursor.fetchall():
            begun = time.perf_counter()
            cursor.execute(DROP, (range_start, MOST))
            connection.commit()
            seconds[is_compressed] = time.perf_counter() - begun
    report("drop_compressed_to_not", seconds[True] / seconds[False], "ratio", **conditions)


def writing(report, hypertable, partitions):
    writers = {
        name: CopyWriter(ORDERBOOK_DELTAS, dsn) for name, dsn in (("hypertable", hypertable), ("own", partitions))
    }
    rows = rows_from(int(time.time()) * 1_000_000, seed=1)
    batches = [list(itertools.islice(rows, BATCH_ROWS)) for _ in range(BATCHES)]
    waiting = {name: iter(batches) for name in writers}
    seconds = in_turns(writers, BATCHES, lambda name: writers[name].write(next(waiting[name])))
    for writer in writers.values():
        writer.close()
    conditions = {"batch_rows": BATCH_ROWS, "batches": BATCHES}
    rate = {name: BATCH_ROWS * BATCHES / sum(each) for name, each in seconds.items()}
    report("write_hypertable_rows_per_s", rate["hypertable"], "rows/s", **conditions)
    report("write_hypertable_to_partitions", rate["hypertable"] / rate["own"], "ratio", bar=0.8, **conditions)
