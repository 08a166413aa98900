"""Rebuild processed/ and aggregates/ from raw/, hour by hour on this machine, in SQL that DuckDB and Spark both run.

Written independently of the deduplicator's code, so that each can be checked against the other. Of copies with the same
identity it keeps one, with their earliest received_at. Copies with different times are found by the rest of their
identity, within the deduplicator's window. Lifecycle messages need more than both SQL dialects can express:
app/lake/announcements.py. On a cluster, app/lake/spark_rebuild.py applies the same rules to all hours at once.
"""

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from app.lake import candles
from app.lake.announcements import events_of, query_of
from app.lake.candle_days import candles_key, fetched
from app.lake.engines import DuckDbEngine
from app.lake.glacier import raw_objects, refuse_what_is_in_glacier
from app.lake.layout import PROCESSED, Dataset, schema_of
from app.lake.parquet import Manifest, duckdb_session, write_sorted
from app.lake.storage import Storage, storage_errors
from kalshi_data.layout import DAY, HOUR, day_of, hour_folder, hours_between, manifest_key

# The time beside an hour whose rows are read to merge the hour: at least twice the window, since a copy in it may
# itself be a copy of a row further away. For trades it is the window once, an hour: only the neighbouring hours'
# objects are read.
BESIDE = {
    "orderbook_deltas": timedelta(minutes=5),
    "trades": timedelta(hours=1),
    "tickers": timedelta(minutes=5),
    "orderbook_snapshots": timedelta(minutes=5),
    "lifecycle_events": timedelta(hours=1),
}

# A row without a time takes the time of its nearest copy that has one, or the earliest copy's if none has. Rows without
# a time are few, and only they are joined.
TIMED = """
WITH untimed AS (
    SELECT DISTINCT {identity}, exchange_ts, ts_missing FROM {table} WHERE ts_missing {sought}
),
candidates AS (
    SELECT
        {of_untimed}, untimed.exchange_ts, untimed.ts_missing, candidate.exchange_ts AS best_ts, row_number() OVER (
            PARTITION BY {of_untimed}, untimed.exchange_ts
            ORDER BY
                CASE WHEN candidate.ts_missing THEN 1 ELSE 0 END,
                CASE WHEN NOT candidate.ts_missing THEN greatest(
                    candidate.exchange_ts - untimed.exchange_ts, untimed.exchange_ts - candidate.exchange_ts
                ) END,
                candidate.exchange_ts
        ) AS place
    FROM untimed JOIN {table} AS candidate ON {same}
        AND candidate.exchange_ts BETWEEN untimed.exchange_ts - {window} AND untimed.exchange_ts + {window}
),
best AS (
    SELECT {identity}, exchange_ts, ts_missing, best_ts FROM candidates WHERE place = 1
),
timed AS (
    SELECT coalesce(best_ts, exchange_ts) AS happened_at, {table}.*
    FROM {table} LEFT JOIN best USING ({identity}, exchange_ts, ts_missing)
)
"""


def timed(table: str, identity: tuple[str, ...], window: str, sought: str = "") -> str:
    return TIMED.format(
        table=table,
        identity=", ".join(identity),
        of_untimed=", ".join(f"untimed.{name}" for name in identity),
        same=" AND ".join(f"candidate.{name} = untimed.{name}" for name in identity),
        window=window,
        sought=sought,
    )


SAME_EVENT = {
    # A change without a time and without a clock is an event of its own.
    "orderbook_deltas": timed(
        "orderbook_deltas",
        ("ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
        "INTERVAL '120' SECOND",
        "AND clock >= 0",
    )
    + """
SELECT
    happened_at AS exchange_ts, min(received_at) AS received_at, clock, delta_e2, price_e6, nth, yes_side,
    min(CASE WHEN after_gap THEN 1 ELSE 0 END) = 1 AS after_gap,
    min(CASE WHEN ts_missing THEN 1 ELSE 0 END) = 1 AS ts_missing, ticker
FROM timed GROUP BY happened_at, clock, delta_e2, price_e6, nth, yes_side, ticker
""",
    # A time that is not a whole second is the finer one; of two finer times the earlier is nearer to the trade. If
    # copies differ in content, the stream's version wins over REST's, and of several versions of one source the least.
    "trades": """
WITH told AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY trade_id
            ORDER BY
                CASE WHEN from_rest THEN 1 ELSE 0 END, yes_price_e6, size_e2, CASE WHEN taker_yes THEN 1 ELSE 0 END
        ) AS told_place
    FROM trades
),
placed AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY trade_id
            ORDER BY
                CASE WHEN exchange_ts = date_trunc('second', exchange_ts) THEN 1 ELSE 0 END, exchange_ts, received_at
        ) AS place,
        min(received_at) OVER (PARTITION BY trade_id) AS first_received_at,
        min(CASE WHEN from_rest THEN 1 ELSE 0 END) OVER (PARTITION BY trade_id) AS rest_alone,
        max(CASE WHEN is_block_trade THEN 1 WHEN NOT is_block_trade THEN 0 END) OVER (PARTITION BY trade_id) AS block,
        max(CASE WHEN told_place = 1 THEN size_e2 END) OVER (PARTITION BY trade_id) AS told_size_e2,
        max(CASE WHEN told_place = 1 THEN yes_price_e6 END) OVER (PARTITION BY trade_id) AS told_price_e6,
        max(CASE WHEN told_place = 1 AND taker_yes THEN 1 ELSE 0 END) OVER (PARTITION BY trade_id) AS told_yes
    FROM told
)
SELECT
    exchange_ts, first_received_at AS received_at, told_size_e2 AS size_e2, told_price_e6 AS yes_price_e6,
    told_yes = 1 AS taker_yes, block = 1 AS is_block_trade,
    rest_alone = 1 AS from_rest, ticker, trade_id
FROM placed WHERE place = 1
""",
    # The digest covers all values of a quote.
    "tickers": timed("tickers", ("ticker", "digest", "nth"), "INTERVAL '1' SECOND")
    + """,
placed AS (
    SELECT
        *, min(received_at) OVER (PARTITION BY happened_at, ticker, digest, nth) AS first_received_at,
        row_number() OVER (
            PARTITION BY happened_at, ticker, digest, nth ORDER BY CASE WHEN ts_missing THEN 1 ELSE 0 END, received_at
        ) AS place
    FROM timed
)
SELECT
    happened_at AS exchange_ts, first_received_at AS received_at, digest, yes_bid_size_e2, yes_ask_size_e2,
    last_trade_size_e2, volume_e2, open_interest_e2, dollar_volume, dollar_open_interest, price_e6, yes_bid_e6,
    yes_ask_e6, nth, ts_missing, ticker
FROM placed WHERE place = 1
""",
    # Books are samples: two different ones of the same instant are kept a microsecond apart. The deduplicator does so
    # in the order of their arrival, this query in the order of their digests.
    "orderbook_snapshots": """
WITH placed AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY snapshot_ts, ticker, source, levels_digest
            ORDER BY CASE WHEN yes_prices_e6 IS NULL THEN 1 ELSE 0 END, received_at
        ) AS place
    FROM orderbook_snapshots
),
apart AS (
    SELECT
        *, row_number() OVER (PARTITION BY snapshot_ts, ticker, source ORDER BY levels_digest) - 1 AS microseconds
    FROM placed WHERE place = 1
)
SELECT
    snapshot_ts + microseconds * INTERVAL '0.000001' SECOND AS snapshot_ts, received_at, clock, levels_digest, ticker,
    source, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
FROM apart
""",
}


def rebuild(engine: DuckDbEngine, source: Storage, into: Storage, start: datetime, end: datetime) -> dict[str, int]:
    """Make processed/ and aggregates/ of another lake from raw/, hour by hour. Return how many rows, by dataset."""
    refuse_what_is_in_glacier(source, start, end)
    done = dict.fromkeys((*PROCESSED, "ohlcv"), 0)
    hours = list(hours_between(start, end))
    for name, dataset in PROCESSED.items():
        raw_keys = [found.key for found in raw_objects(source, name, start, end)]
        for hour in hours:
            what = f"Merging {name} of {hour:%Y-%m-%dT%H}"
            with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, storage_errors(what):
                files = list(fetched(source, _near(raw_keys, hour), Path(folder)))
                done[name] += _merge_hour(engine, into, dataset, hour, files)
    for day in sorted(set(map(day_of, hours))):
        done["ohlcv"] += _make_candles(engine, into, day)
    return done


def _near(raw_keys: Sequence[str], hour: datetime) -> list[str]:
    """Return the keys of the hour and of its neighbours, where copies of its events may lie."""
    folders = {hour_folder(each) for each in (hour - HOUR, hour, hour + HOUR)}
    return [key for key in raw_keys if "/".join(key.split("/")[3:5]) in folders]


def _merge_hour(engine: DuckDbEngine, into: Storage, dataset: Dataset, hour: datetime, files: list[str]) -> int:
    name, schema, beside = dataset.table.name, schema_of(dataset.table), BESIDE[dataset.table.name]
    around = happens_within(dataset, hour - beside, hour + HOUR + beside)
    if name not in SAME_EVENT:
        return _merge_announcements(engine, into, dataset, hour, files, around)
    of_hour = f"SELECT * FROM ({SAME_EVENT[name]}) AS events WHERE {happens_within(dataset, hour, hour + HOUR)}"  # noqa: S608
    with engine.rows(of_hour, {name: files}, {name: schema}, around) as events:
        return _write(events, schema, dataset.identity, into, dataset.object_key(hour))


def _merge_announcements(
    engine: DuckDbEngine, into: Storage, dataset: Dataset, hour: datetime, files: list[str], around: str
) -> int:
    by_gatherer: dict[str, list[str]] = defaultdict(list)
    for path in files:
        by_gatherer[path.split("/gatherer=")[1].split("/")[0]].append(path)
    if not by_gatherer:
        return 0
    schema = schema_of(dataset.table)
    views = {gatherer: f"told_{number}" for number, gatherer in enumerate(by_gatherer)}
    found = {views[gatherer]: paths for gatherer, paths in by_gatherer.items()}
    with engine.rows(query_of(views, schema.names), found, dict.fromkeys(found, schema), around) as copies:
        events = events_of(copies.read_all())
    times = events[dataset.table.time_column]
    is_of_hour = pc.and_(pc.greater_equal(times, pa.scalar(hour)), pc.less(times, pa.scalar(hour + HOUR)))
    of_hour = events.filter(is_of_hour).cast(schema)
    return _write(of_hour.to_reader(), schema, dataset.identity, into, dataset.object_key(hour))


def _make_candles(engine: DuckDbEngine, into: Storage, day: datetime) -> int:
    tables = {name: PROCESSED[name] for name in ("trades", "tickers")}
    schemas = {name: schema_of(dataset.table) for name, dataset in tables.items()}
    rows = 0
    what = f"Candles of {day:%Y-%m-%d}"
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, storage_errors(what):
        views = {
            name: list(fetched(into, map(dataset.object_key, hours_between(day, day + DAY)), Path(folder)))
            for name, dataset in tables.items()
        }
        for interval in candles.INTERVALS:
            with engine.rows(candles.candles_query(interval), views, schemas) as made:
                rows += _write(made, candles.SCHEMA, candles.ORDER, into, candles_key(interval, day))
    return rows


def happens_within(dataset: Dataset, start: datetime, end: datetime) -> str:
    time = dataset.table.time_column
    return f"{time} >= TIMESTAMP '{start.isoformat()}' AND {time} < TIMESTAMP '{end.isoformat()}'"


def _write(rows: pa.RecordBatchReader, schema: pa.Schema, order: Sequence[str], into: Storage, key: str) -> int:
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        path = Path(folder) / "written.parquet"
        with duckdb_session(Path(folder)) as session:
            session.register("made", rows)
            written = write_sorted(session, "SELECT * FROM made", schema, order, path)
        if written.rows:
            manifest = manifest_key(key)
            into.put_file(key, path, into.version(key))
            into.put(manifest, Manifest.of(key, written).encode(), into.version(manifest))
    return written.rows
