"""The library over a generated day of ten million book changes: rows to Arrow and pandas beside pyarrow alone on the same
files, a replay on one core, and the book at a time.

Every rate of rows is the best of some rounds, since the page cache and Arrow's memory pool warm up, and every ratio the
median of the rounds' own. The replay and the books are measured by the time that cores spent on them, so that a busy
machine changes them less; on an idle one, a book takes no longer than that.
"""

import random
import statistics
import tempfile
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset, parquet

import kalshi_data as kd
from kalshi_data.layout import (
    COVERAGE,
    DELTAS,
    FOLDERS,
    HOUR,
    HOURLY,
    IDENTITY,
    MARKETS,
    SNAPSHOTS,
    TRADES,
    day_folder,
    hour_folder,
)
from kalshi_data.schema import ROW_GROUP_ROWS, encodings, schema_of
from kalshi_data.times import us_of

DAY = datetime(2026, 11, 21, tzinfo=UTC)
CHANGES = 10_000_000
TRADES_ROWS = 2_000_000
MARKET_COUNT = 500
BUSY = "KXBENCH-0"  # has a tenth of all changes
SNAPSHOTS_EVERY = 6  # hours
BOOKS = 200
ROUNDS = 5
RATIO = 0.8  # of what pyarrow alone does


def run(report):
    with tempfile.TemporaryDirectory(prefix="kalshi-bench-") as name:
        folder = Path(name)
        generate(folder)
        lake = kd.open(folder)
        for table, records in ((TRADES, lake.trades()), (DELTAS, lake.book_changes())):
            measure_table(report, folder, table, records)
        measure_books(report, lake)
        measure_replay(report, lake)


def measure_table(report, folder, table, records):
    files = dataset.dataset(f"{folder}/{FOLDERS[table]}", partitioning="hive", format="parquet")
    names = schema_of(table).names
    rows = files.count_rows()
    # One after the other, again and again, so that what else the machine does hits all alike.
    actions = (
        lambda: files.to_table(names),
        records.to_arrow,
        lambda: files.to_table(names).to_pandas(),
        records.to_df,
    )
    spent = [each_seconds(*actions) for _ in range(ROUNDS)]
    for kind, alone, ours in (("arrow", 0, 1), ("pandas", 2, 3)):
        report(f"pyarrow_{kind}_{table}_rows_per_s", rows / min(each[alone] for each in spent), "rows/s", rows=rows)
        report(f"{kind}_{table}_rows_per_s", rows / min(each[ours] for each in spent), "rows/s", rows=rows)
        ratios = [each[alone] / each[ours] for each in spent]
        report(f"{kind}_{table}_ratio", statistics.median(ratios), "ratio", bar=RATIO, rounds=ROUNDS)


def measure_books(report, lake):
    draw = random.Random(1)
    spent, waited = [], []
    for _ in range(BOOKS):
        ticker, at = f"KXBENCH-{draw.randrange(MARKET_COUNT)}", DAY + timedelta(seconds=draw.randrange(86_400))
        started, began = time.process_time(), time.perf_counter()
        lake.book(ticker, at)
        spent.append(time.process_time() - started)
        waited.append(time.perf_counter() - began)
    report("book_at_p50_ms", statistics.median(spent) * 1_000, "ms", bar=20, at_least=False, books=BOOKS)
    report("book_at_p99_ms", sorted(spent)[int(BOOKS * 0.99)] * 1_000, "ms", books=BOOKS)
    report("book_at_elapsed_p50_ms", statistics.median(waited) * 1_000, "ms", books=BOOKS)


def measure_replay(report, lake):
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    started = time.process_time()
    [last] = deque(lake.replay(BUSY, DAY, DAY + timedelta(days=1), every="1s"), maxlen=1)
    seconds = time.process_time() - started
    pa.set_cpu_count(threads)
    changes = lake.book_changes(BUSY).to_arrow(integers=True).num_rows
    assert last.levels == lake.book(BUSY, last.at).levels
    report("replay_changes_per_s", changes / seconds, "changes/s", bar=300_000, changes=changes, goal=1_000_000)


def each_seconds(*actions):
    return [seconds_of(action) for action in actions]


def seconds_of(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def generate(folder):
    """Write a day, hour by hour: random sizes at the levels of each book, in the files' own order."""
    draw = np.random.default_rng(0)
    clocks = 0
    for number in range(24):
        hour = DAY + number * HOUR
        write(folder, DELTAS, hour, changes_of(draw, hour, CHANGES // 24, clocks))
        write(folder, TRADES, hour, trades_of(draw, hour, TRADES_ROWS // 24))
        if number % SNAPSHOTS_EVERY == 0:
            write(folder, SNAPSHOTS, hour, snapshots_of(hour, clocks))
        clocks += CHANGES
        write(folder, COVERAGE, hour, judgements_of(hour))
    write(folder, MARKETS, DAY, markets_of())


def write(folder, table, hour, columns):
    path = folder / FOLDERS[table] / (hour_folder(hour) if table in HOURLY else day_folder(hour)) / "part-0.parquet"
    path.parent.mkdir(parents=True)
    rows = pa.table({name: columns[name] for name in schema_of(table).names}).cast(schema_of(table))
    rows = rows.sort_by([(name, "ascending") for name in IDENTITY[table][:2]])
    parquet.write_table(rows, path, row_group_size=ROW_GROUP_ROWS, **encodings(schema_of(table)))


def tickers_of(numbers):
    names = pa.array([f"KXBENCH-{number}" for number in range(MARKET_COUNT)])
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), names).cast(pa.string())


def times_of(draw, hour, rows):
    # Milliseconds, as the exchange's own; after the snapshot of the hour's first moment.
    values = us_of(hour) + np.sort(draw.integers(1, 3_600_000, rows)) * 1_000
    return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))


def changes_of(draw, hour, rows, clocks):
    times = times_of(draw, hour, rows)
    numbers = np.where(draw.random(rows) < 0.1, 0, draw.integers(0, MARKET_COUNT, rows))
    return {
        "exchange_ts": times,
        "received_at": pc.add(times.cast(pa.int64()), 20_000).cast(times.type),
        "clock": pa.array(np.arange(clocks + 1, clocks + rows + 1)),
        "delta_e2": pa.array(draw.integers(-300, 500, rows)),
        "price_e6": pa.array(draw.integers(1, 60, rows) * 10_000),
        "nth": pa.array(np.zeros(rows, "int32")),
        "yes_side": pa.array(draw.random(rows) < 0.5),
        "after_gap": pa.array(np.zeros(rows, "bool")),
        "ts_missing": pa.array(np.zeros(rows, "bool")),
        "ticker": tickers_of(numbers),
    }


def trades_of(draw, hour, rows):
    times = times_of(draw, hour, rows)
    return {
        "exchange_ts": times,
        "received_at": times,
        "size_e2": pa.array(draw.integers(1, 100_000, rows)),
        "yes_price_e6": pa.array(draw.integers(1, 100, rows) * 10_000),
        "taker_yes": pa.array(draw.random(rows) < 0.5),
        "is_block_trade": pa.nulls(rows, pa.bool_()),
        "from_rest": pa.array(np.zeros(rows, "bool")),
        "ticker": tickers_of(draw.integers(0, MARKET_COUNT, rows)),
        "trade_id": pa.array([f"{number:020d}" for number in draw.integers(0, 2**62, rows).tolist()]),
    }


def snapshots_of(hour, clocks):
    prices = [[level * 10_000 for level in range(1, 60)]] * MARKET_COUNT
    sizes = [[100_000_000] * 59] * MARKET_COUNT
    return {
        "snapshot_ts": pa.array([us_of(hour)] * MARKET_COUNT, pa.timestamp("us", "UTC")),
        "received_at": pa.array([us_of(hour)] * MARKET_COUNT, pa.timestamp("us", "UTC")),
        "clock": pa.array([clocks] * MARKET_COUNT, pa.int64()),
        "levels_digest": pa.array([0] * MARKET_COUNT, pa.int64()),
        "ticker": pa.array([f"KXBENCH-{number}" for number in range(MARKET_COUNT)]),
        "source": pa.array(["ws"] * MARKET_COUNT),
        "yes_prices_e6": pa.array(prices, pa.list_(pa.int32())),
        "yes_sizes_e2": pa.array(sizes, pa.list_(pa.int64())),
        "no_prices_e6": pa.array(prices, pa.list_(pa.int32())),
        "no_sizes_e2": pa.array(sizes, pa.list_(pa.int64())),
    }


def judgements_of(hour):
    tickers = ["", *(f"KXBENCH-{number}" for number in range(MARKET_COUNT))]
    times = {"hour_start": hour, "since": hour, "until": hour + HOUR, "known_until": hour + HOUR}
    columns = {name: pa.array([moment] * len(tickers), pa.timestamp("us", "UTC")) for name, moment in times.items()}
    empty = {name: pa.array([[]] * len(tickers)) for name in schema_of(COVERAGE).names[-5:]}
    channels = ["trade", *["orderbook_delta"] * MARKET_COUNT]
    return columns | empty | {"ticker": tickers, "channel": channels, "state": ["complete"] * len(tickers)}


def markets_of():
    rows = {
        name: [""] * MARKET_COUNT for name in ("event_ticker", "title", "status", "market_type", "result", "details")
    }
    empty = {field.name: pa.nulls(MARKET_COUNT, field.type) for field in schema_of(MARKETS) if field.nullable}
    times = {"updated_at": pa.array([DAY] * MARKET_COUNT, pa.timestamp("us", "UTC"))}
    return rows | empty | times | {"ticker": [f"KXBENCH-{number}" for number in range(MARKET_COUNT)]}
