"""Hours of what the simulated exchange did, from production to Parquet, beside pyarrow writing the same from memory; read
back; and three queries, beside the same in PostgreSQL."""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from pyarrow import parquet

from app.lake.archive import Archive
from app.lake.layout import schema_of
from app.lake.reader import book_at, lake_of
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.migrations import migrate, migrations_of
from app.storage.tables import PRODUCTION_TABLES
from app.storage.writer import CopyWriter
from kalshi_data.order_book import Knowledge
from kalshi_data.schema import encodings
from tests.servers import temporary_server
from tests.simulator.recording import Run

SECONDS = 1_100  # of the exchange, in which there are a million changes
BATCH_ROWS = 10_000
BYTES_PER_DELTA = 10
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
NOTHING_KNOWN = Knowledge("unknown", None)
COUNT = "SELECT count(*) FROM {table}"
CANDLES = """
    SELECT ticker, date_trunc('minute', exchange_ts) AS start_ts, min(yes_price_e6), max(yes_price_e6),
        sum(size_e2), sum(yes_price_e6::BIGINT * size_e2)
    FROM trades GROUP BY 1, 2
"""
SERIES = "SELECT * FROM trades WHERE ticker LIKE '{series}%' ORDER BY exchange_ts, trade_id"


def run(report):
    with tempfile.TemporaryDirectory() as folder, temporary_server(fsync="off") as server:
        dsn = server.ensure_database(DatabaseKind.PRODUCTION.database)
        with connected(dsn) as connection:
            migrate(connection, migrations_of(DatabaseKind.PRODUCTION))
        ticker, at = fill(dsn, Path(folder) / "truth")
        storage = FolderStorage(Path(folder) / "lake")
        archive = Archive(dsn, storage)
        with archive.opened() as opened:
            for name, dataset in archive.datasets().items():
                measure_export(report, opened, storage, name, dataset)
            opened.candles.make_next()
        with connected(dsn) as connection, connection.cursor() as cursor:
            measure_queries(report, cursor, lake_of(storage), storage.folder, ticker, at)


def fill(dsn, folder):
    run = Run(folder, markets=500, rate=1_500).record_books(range(500)).advance(SECONDS).record_everything()
    run.truth.close()
    for table in PRODUCTION_TABLES:
        rows = run.rows[table.name]
        if table.name == "lifecycle_events":
            rows = [(*row[:-1], row[-1].encode()) for row in rows]
        writer = CopyWriter(table, dsn)
        for start in range(0, len(rows), BATCH_ROWS):
            writer.write(rows[start : start + BATCH_ROWS])
        writer.close()
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        connection.commit()
    return run.rows["orderbook_deltas"][0][-1], datetime.fromtimestamp(run.exchange.now_us // 1_000_000, UTC)


def measure_export(report, opened, storage, name, dataset):
    opened.survey(dataset)
    hours = opened.ledger.hours(dataset, *EVER)
    rows = size = 0
    started = time.perf_counter()
    for hour in hours:
        done = opened.exporter.export(dataset, hour)
        rows, size = rows + done.rows, size + done.size_bytes
    seconds = time.perf_counter() - started
    # A table whose rows are few tells nothing of the rate: an hour's fixed cost is most of it.
    bars = (500_000, BYTES_PER_DELTA) if name == "orderbook_deltas" else (None, None)
    report(f"export_{name}_rows_per_s", rows / seconds, "rows/s", bar=bars[0], rows=rows)
    report(f"export_{name}_bytes_per_row", size / rows, "bytes/row", bar=bars[1], at_least=False, rows=rows)
    report(f"pyarrow_{name}_rows_per_s", rows / pyarrow_seconds(storage, dataset, hours), "rows/s", rows=rows)
    started = time.perf_counter()
    findings = [opened.verify(dataset, hour) for hour in hours]
    assert all(finding.verdict.is_safe for finding in findings), findings
    report(f"verify_{name}_rows_per_s", rows / (time.perf_counter() - started), "rows/s", rows=rows)


def pyarrow_seconds(storage, dataset, hours):
    schema = schema_of(dataset.table)
    tables = [parquet.read_table(storage.folder / dataset.object_key(hour), partitioning=None) for hour in hours]
    started = time.perf_counter()
    for table in tables:
        parquet.write_table(table, storage.folder / ".peer", **encodings(schema))
    return time.perf_counter() - started


def measure_queries(report, cursor, lake, folder, ticker, at):
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.read_parquet(str(folder / "processed/trades/**/*.parquet")).create_view("trades")
    series = SERIES.format(series=ticker.split("-")[0])
    queries = {
        "book_at_a_time": (
            lambda: book_at(lake, ticker, at, NOTHING_KNOWN),
            lambda: fetched(cursor, "SELECT * FROM order_book(%s, %s)", ticker, at),
        ),
        "candles_of_a_day": (lambda: database.sql(CANDLES).to_arrow_table(), lambda: fetched(cursor, CANDLES)),
        "trades_of_a_series": (lambda: database.sql(series).to_arrow_table(), lambda: fetched(cursor, series)),
    }
    for name, (of_lake, of_postgres) in queries.items():
        report(f"{name}_lake_ms", best_seconds(of_lake) * 1_000, "ms")
        report(f"{name}_postgres_ms", best_seconds(of_postgres) * 1_000, "ms")


def fetched(cursor, query, *parameters):
    cursor.execute(query, parameters or None)
    return cursor.fetchall()


def best_seconds(action):
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        action()
        spent.append(time.perf_counter() - started)
    return min(spent)
