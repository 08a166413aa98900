"""Check a lake by itself: each object against its manifest, and each order book against the one before it.

In: a lake and a time. Out: counts, and what is wrong. No database is needed, so that a copy of a lake can be checked
too. A book, with the changes up to the clock of the market's next snapshot, must be that snapshot, level by level. The
query runs in DuckDB and Spark; app/lake/spark_check.py checks months of a lake on a cluster.
"""

import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from app.lake.candle_days import fetched
from app.lake.engines import DuckDbEngine
from app.lake.parquet import Manifest, decode_manifest, described, duckdb_session, sha256_of
from app.lake.storage import Storage, storage_errors
from kalshi_data.layout import (
    COVERAGE,
    DAY,
    DELTAS,
    FOLDERS,
    HOUR,
    HOURLY,
    IDENTITY,
    MANIFESTS,
    REFERENCE_TABLES,
    SNAPSHOTS,
    manifest_key,
    object_key,
)
from kalshi_data.schema import ROW_GROUP_ROWS, instant, schema_of
from kalshi_data.times import Interval

MOST_FINDINGS = 100
BOOK_TABLES = (SNAPSHOTS, DELTAS, COVERAGE)

# Times of changes and of snapshots may differ by a minute. A change whose clock lies between those of two snapshots and
# whose time does not shows that clocks began anew: such a pair decides nothing if it differs. The exchange empties a
# book when its market closes, so empty ones are left out.
BOOKS = """
WITH books AS (
    SELECT
        ticker, snapshot_ts, clock, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2,
        row_number() OVER (PARTITION BY ticker ORDER BY snapshot_ts) AS number,
        lag(snapshot_ts) OVER (PARTITION BY ticker ORDER BY snapshot_ts) AS from_ts,
        lag(clock) OVER (PARTITION BY ticker ORDER BY snapshot_ts) AS from_clock
    FROM orderbook_snapshots
    WHERE source = 'ws' AND clock >= 0 AND level_count(yes_prices_e6) + level_count(no_prices_e6) > 0
),
pairs AS (
    SELECT ticker, number, from_ts, snapshot_ts AS to_ts, from_clock > clock AS is_restart
    FROM books WHERE from_ts IS NOT NULL
),
-- A market's clock falls when it begins anew: how often that was before a row.
rows_by_time AS (
    SELECT
        ticker, snapshot_ts AS stamped_at, clock, 1 AS is_book, number,
        CASE WHEN from_clock > clock THEN 1 ELSE 0 END AS falls,
        FALSE AS yes_side, 0 AS price_e6, CAST(0 AS BIGINT) AS delta_e2
    FROM books
    UNION ALL
    SELECT ticker, exchange_ts, clock, 0, NULL, 0, yes_side, price_e6, delta_e2
    FROM orderbook_deltas WHERE clock >= 0
),
in_runs AS (
    SELECT *, sum(falls) OVER (PARTITION BY ticker ORDER BY stamped_at, is_book ROWS UNBOUNDED PRECEDING) AS run
    FROM rows_by_time
),
-- A change belongs to the first snapshot whose clock includes it.
placed AS (
    SELECT
        *, min(number) OVER (
            PARTITION BY ticker, run ORDER BY clock, is_book ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS included_in
    FROM in_runs
),
sides AS (
    SELECT ticker, number, yes_side, explode(side) AS level
    FROM (
        SELECT ticker, number, TRUE AS yes_side, level_list(yes_prices_e6, yes_sizes_e2) AS side FROM books
        UNION ALL
        SELECT ticker, number, FALSE, level_list(no_prices_e6, no_sizes_e2) FROM books
    ) AS whole
),
-- The earlier book and the changes, less the later book: nothing must be left.
amounts AS (
    SELECT ticker, number + 1 AS number, yes_side, level.price_e6, level.size_e2 AS size_e2, 0 AS is_astray FROM sides
    UNION ALL
    SELECT ticker, number, yes_side, level.price_e6, -level.size_e2, 0 FROM sides
    UNION ALL
    SELECT
        p.ticker, p.number, c.yes_side, c.price_e6, c.delta_e2, CASE
            WHEN c.stamped_at < p.from_ts - INTERVAL '60' SECOND THEN 1
            WHEN c.stamped_at > p.to_ts + INTERVAL '60' SECOND THEN 1
            ELSE 0
        END
    FROM placed AS c JOIN pairs AS p ON p.ticker = c.ticker AND p.number = c.included_in
    WHERE c.is_book = 0
),
levels AS (
    SELECT ticker, number, yes_side, price_e6, sum(size_e2) AS left_e2, max(is_astray) AS is_astray
    FROM amounts GROUP BY ticker, number, yes_side, price_e6
),
judged AS (
    SELECT
        ticker, number, CAST(sum(CASE WHEN left_e2 <> 0 THEN 1 ELSE 0 END) AS BIGINT) AS levels,
        max(is_astray) AS is_astray
    FROM levels GROUP BY ticker, number
),
holes AS (
    SELECT ticker, hole.since, hole.until FROM (
        SELECT ticker, explode(holes) AS hole
        FROM (
            SELECT ticker, interval_list(holes_from, holes_until) AS holes
            FROM coverage WHERE channel = 'orderbook_delta'
        ) AS listed
    ) AS each
),
in_holes AS (
    SELECT DISTINCT p.ticker, p.number
    FROM pairs AS p JOIN holes AS h ON h.ticker = p.ticker AND h.since < p.to_ts AND h.until > p.from_ts
)
SELECT
    p.ticker, p.from_ts, p.to_ts, j.levels, CASE
        WHEN p.is_restart THEN 'incomparable'
        WHEN j.levels = 0 THEN 'equal'
        WHEN h.number IS NOT NULL THEN 'in a hole'
        WHEN j.is_astray = 1 THEN 'incomparable'
        ELSE 'different'
    END AS verdict
FROM pairs AS p
JOIN judged AS j ON j.ticker = p.ticker AND j.number = p.number
LEFT JOIN in_holes AS h ON h.ticker = p.ticker AND h.number = p.number
"""
COUNTS = "SELECT verdict, CAST(count(*) AS BIGINT) AS pairs FROM verdicts GROUP BY verdict"
DIFFERENT = f"""
    SELECT ticker, from_ts, to_ts, levels FROM verdicts WHERE verdict = 'different'
    ORDER BY ticker, to_ts LIMIT {MOST_FINDINGS}
"""  # noqa: S608 - a number


class LakeFinding(NamedTuple):
    """What a check found. `wrong` has at most MOST_FINDINGS books."""

    objects: int
    rows: int
    books: Counter[str]  # pairs of successive snapshots, by verdict
    wrong: list[str]


def check(storage: Storage, start: datetime, end: datetime) -> LakeFinding:
    """Check the objects of this time on this machine, and the books in them if no object is wrong."""
    objects = [check_object(storage, key) for key in keys_of(storage, (start, end))]
    rows, wrong = sum(rows for rows, _ in objects), [problem for _, problem in objects if problem]
    if wrong:
        return LakeFinding(len(objects), rows, Counter(), wrong[:MOST_FINDINGS])
    return LakeFinding(len(objects), rows, *_check_books(storage, (start, end)))


def keys_of(storage: Storage, period: Interval) -> list[str]:
    """Return the keys of the objects that may have rows of the period, also of those of which only the manifest is
    there."""
    listed = {object_key(key) for folder in FOLDERS.values() for key in storage.keys(f"{MANIFESTS}/{folder}")}
    told = {key for key in listed if _overlap(_period_of(key), period)}
    return sorted(told.union(*(stored_keys(storage, table, period) for table in FOLDERS)))


def stored_keys(storage: Storage, table: str, period: Interval) -> list[str]:
    """Return the keys of a table's objects that may have rows of the period."""
    keys = storage.keys(FOLDERS[table])
    return [key for key in keys if key.endswith(".parquet") and _overlap(_period_of(key), period)]


def check_object(storage: Storage, key: str) -> tuple[int, str]:
    """Return how many rows the object has, and what is wrong with it; '' if nothing is."""
    table = _table_of(key)
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        path = Path(folder) / "object.parquet"
        content = storage.read(manifest_key(key))
        if content is None:
            return 0, f"{key}: there is no manifest"
        if not storage.fetch(key, path):
            return 0, f"{key}: there is a manifest, but no object"
        try:
            manifest = decode_manifest(content)
            if (path.stat().st_size, sha256_of(path)) != (manifest.size_bytes, manifest.sha256):
                return 0, f"{key}: the bytes are not those of the manifest"
            if Manifest.of(key, described(path, IDENTITY[table])) != manifest:
                return 0, f"{key}: the rows are not those of the manifest"
            problem = _misplaced(path, table, _period_of(key)) or _disorder(path, table)
        except (pa.ArrowException, msgspec.DecodeError) as error:
            return 0, f"{key}: it cannot be read: {error}"
    return manifest.rows, problem and f"{key}: {problem}"


def differing_books(found: pa.Table) -> list[str]:
    return [
        f"{row['ticker']}: {row['levels']} levels of the book of {row['to_ts'].isoformat()} do not follow from "
        f"{row['from_ts'].isoformat()}"
        for row in found.to_pylist()
    ]


def _check_books(storage: Storage, period: Interval) -> tuple[Counter[str], list[str]]:
    with (
        tempfile.TemporaryDirectory(prefix="kalshi-lake-") as name,
        storage_errors("Comparing books"),
        duckdb_session(Path(name)) as session,
    ):
        files = {
            table: list(fetched(storage, stored_keys(storage, table, period), Path(name))) for table in BOOK_TABLES
        }
        DuckDbEngine(session).create_views(files, {table: schema_of(table) for table in BOOK_TABLES})
        session.execute(f"CREATE TEMP TABLE verdicts AS {BOOKS}")
        books = Counter(dict(session.sql(COUNTS).fetchall()))
        return books, differing_books(session.sql(DIFFERENT).to_arrow_table())


def _misplaced(path: Path, table: str, period: Interval) -> str:
    if table in REFERENCE_TABLES:
        return ""
    times = parquet.read_table(path, columns=[IDENTITY[table][1]])[0]
    is_within = pc.and_(pc.greater_equal(times, instant(period[0])), pc.less(times, instant(period[1])))
    misplaced = len(times) - (pc.sum(is_within).as_py() or 0)
    return f"{misplaced} rows are not of its time" if misplaced else ""


def _disorder(path: Path, table: str) -> str:
    names = list(IDENTITY[table])
    with parquet.ParquetFile(path) as file:
        last = file.schema_arrow.empty_table().select(names)
        for batch in file.iter_batches(ROW_GROUP_ROWS, columns=names):
            rows = pa.concat_tables([last, pa.table(batch).select(names)])
            if not _rises(rows):
                return "rows are there twice, or out of order"
            last = rows.slice(rows.num_rows - 1)
    return ""


def _rises(rows: pa.Table) -> bool:
    """Return whether each row is greater than the one before it."""
    is_greater, is_equal = pa.scalar(False), pa.scalar(True)
    for column in rows.columns:
        values = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        before, after = values.slice(0, len(values) - 1), values.slice(1)
        is_greater = pc.or_(is_greater, pc.and_(is_equal, pc.greater(after, before)))
        is_equal = pc.and_(is_equal, pc.equal(after, before))
    return rows.num_rows < 2 or bool(pc.all(is_greater).as_py())


def _table_of(key: str) -> str:
    return next(table for table, folder in FOLDERS.items() if key.startswith(f"{folder}/"))


def _period_of(key: str) -> Interval:
    folders = dict(part.split("=", 1) for part in key.split("/") if "=" in part)
    day = datetime.fromisoformat(f"{folders['date']}T00:00:00Z")
    if _table_of(key) not in HOURLY:
        return day, day + DAY
    return day + int(folders["hour"]) * HOUR, day + (int(folders["hour"]) + 1) * HOUR


def _overlap(one: Interval, other: Interval) -> bool:
    return one[0] < other[1] and one[1] > other[0]
