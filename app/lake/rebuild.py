import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from app.lake import candles
from app.lake.candle_days import candles_key
from app.lake.dataset import PROCESSED, Dataset, manifest_key
from app.lake.engines import Engine
from app.lake.hours import DAY, HOUR, day_of, hour_folder, hours_between
from app.lake.manifest import Manifest
from app.lake.merge import SAME_EVENT
from app.lake.parquet_file import duckdb_session, write_sorted
from app.lake.schema import schema_of
from app.lake.storage import Storage


def rebuild(engine: Engine, source: Storage, into: Storage, start: datetime, end: datetime) -> dict[str, int]:
    """Makes processed/ and aggregates/ of another lake from raw/, hour by hour. How many rows, by dataset."""
    done = dict.fromkeys((*PROCESSED, "ohlcv"), 0)
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        for day in sorted({day_of(hour) for hour in hours_between(start, end)}):
            hours = list(hours_between(max(start, day), min(end, day + DAY)))
            for name, dataset in PROCESSED.items():
                done[name] += _rebuild_hours(engine, source, into, dataset, hours, Path(folder))
            done["ohlcv"] += _rebuild_candles(engine, into, day, Path(folder))
    return done


def _rebuild_hours(
    engine: Engine, source: Storage, into: Storage, dataset: Dataset, hours: list[datetime], folder: Path
) -> int:
    """Copies of one event may lie in neighbouring hours: those are looked at too, and written when it is their turn."""
    files = list(_raw_files(source, dataset, [hours[0] - HOUR, *hours, hours[-1] + HOUR], folder))
    schemas = {dataset.table.name: schema_of(dataset.table)}
    merged = engine.rows(SAME_EVENT[dataset.table.name], {dataset.table.name: files}, schemas).read_all()
    rows = 0
    for hour in hours:
        rows += _write(
            merged,
            _in_hour(dataset, hour),
            schemas[dataset.table.name],
            dataset.identity,
            into,
            dataset.object_key(hour),
            folder,
        )
    return rows


def _rebuild_candles(engine: Engine, into: Storage, day: datetime, folder: Path) -> int:
    tables = {name: PROCESSED[name] for name in ("trades", "tickers")}
    schemas = {name: schema_of(dataset.table) for name, dataset in tables.items()}
    keys = {name: [dataset.object_key(day + number * HOUR) for number in range(24)] for name, dataset in tables.items()}
    views = {name: list(_fetched(into, keys[name], folder)) for name in tables}
    rows = 0
    for interval in candles.INTERVALS:
        made = engine.rows(candles.candles_query(interval), views, schemas).read_all()
        rows += _write(made, "TRUE", candles.SCHEMA, candles.ORDER, into, candles_key(interval, day), folder)
    return rows


def _raw_files(source: Storage, dataset: Dataset, hours: list[datetime], folder: Path) -> Iterator[str]:
    wanted = {hour_folder(hour) for hour in hours}
    keys = [key for key in source.keys(f"raw/{dataset.table.name}") if "/".join(key.split("/")[3:5]) in wanted]
    yield from _fetched(source, keys, folder)


def _fetched(storage: Storage, keys: list[str], folder: Path) -> Iterator[str]:
    for key in keys:
        path = folder / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if storage.fetch(key, path):
            yield str(path)


def _in_hour(dataset: Dataset, hour: datetime) -> str:
    time = dataset.table.time_column
    return f"{time} >= TIMESTAMPTZ '{hour.isoformat()}' AND {time} < TIMESTAMPTZ '{(hour + HOUR).isoformat()}'"


def _write(
    rows: pa.Table, condition: str, schema: pa.Schema, order: tuple[str, ...], into: Storage, key: str, folder: Path
) -> int:
    path = folder / "written.parquet"
    with duckdb_session(folder) as session:
        session.register("made", rows)
        written = write_sorted(session, f"SELECT * FROM made WHERE {condition}", schema, order, path)  # noqa: S608
    if written.rows:
        manifest = manifest_key(key)
        into.put_file(key, path, into.version(key))
        into.put(manifest, Manifest.of(key, written).encode(), into.version(manifest))
    return written.rows
