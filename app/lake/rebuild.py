import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from app.lake import candles
from app.lake.announcements import events_of, query_of
from app.lake.candle_days import candles_key, fetched
from app.lake.dataset import PROCESSED, Dataset, manifest_key
from app.lake.engines import Engine
from app.lake.glacier import raw_objects, refuse_what_is_in_glacier
from app.lake.hours import DAY, HOUR, day_of, hour_folder, hours_between
from app.lake.manifest import Manifest
from app.lake.merge import BESIDE, SAME_EVENT
from app.lake.parquet_file import duckdb_session, write_sorted
from app.lake.schema import schema_of
from app.lake.storage import Storage, storage_errors


def rebuild(engine: Engine, source: Storage, into: Storage, start: datetime, end: datetime) -> dict[str, int]:
    """Makes processed/ and aggregates/ of another lake from raw/, hour by hour. How many rows, by dataset."""
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
    """Copies of one event may lie in neighbouring hours."""
    folders = {hour_folder(each) for each in (hour - HOUR, hour, hour + HOUR)}
    return [key for key in raw_keys if "/".join(key.split("/")[3:5]) in folders]


def _merge_hour(engine: Engine, into: Storage, dataset: Dataset, hour: datetime, files: list[str]) -> int:
    name, schema, beside = dataset.table.name, schema_of(dataset.table), BESIDE[dataset.table.name]
    around = _within(dataset, hour - beside, hour + HOUR + beside)
    if name not in SAME_EVENT:
        return _merge_announcements(engine, into, dataset, hour, files, around)
    of_hour = f"SELECT * FROM ({SAME_EVENT[name]}) AS events WHERE {_within(dataset, hour, hour + HOUR)}"  # noqa: S608
    with engine.rows(of_hour, {name: files}, {name: schema}, around) as events:
        return _write(events, schema, dataset.identity, into, dataset.object_key(hour))


def _merge_announcements(
    engine: Engine, into: Storage, dataset: Dataset, hour: datetime, files: list[str], around: str
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


def _make_candles(engine: Engine, into: Storage, day: datetime) -> int:
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


def _within(dataset: Dataset, start: datetime, end: datetime) -> str:
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
