import tempfile
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import dataset as arrow_dataset

from app import logs
from app.lake import candles
from app.lake.dataset import PROCESSED, manifest_key
from app.lake.hours import HOUR
from app.lake.ledger import Ledger
from app.lake.manifest import Manifest
from app.lake.parquet_file import duckdb_session, write_sorted
from app.lake.schema import schema_of
from app.lake.storage import Storage

log = logs.get(__name__)


class CandleDays:
    """Candles of whole days, made of the lake's own trades and quotes."""

    def __init__(self, ledger: Ledger, storage: Storage) -> None:
        self._ledger = ledger
        self._storage = storage

    def make_next(self) -> bool:
        """Of one day whose trades or quotes have changed. False: there was none."""
        due = self._ledger.day_for_candles()
        if due is None:
            return False
        day, as_of = due
        rows = make_candles(self._storage, day)
        self._ledger.candles_made(day, rows, as_of)
        log.info("candles made", day=f"{day:%Y-%m-%d}", rows=rows)
        return True


def candles_key(interval: str, day: datetime) -> str:
    return f"aggregates/ohlcv/interval={interval}/date={day:%Y-%m-%d}/part-0.parquet"


def make_candles(storage: Storage, day: datetime) -> int:
    """How many, of all intervals together. Made again of the same rows, they are the same bytes."""
    rows = 0
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        for interval in candles.INTERVALS:
            key, path = candles_key(interval, day), Path(folder) / f"{interval}.parquet"
            versions = storage.version(key), storage.version(manifest_key(key))
            with duckdb_session(Path(folder)) as session:
                session.execute("CREATE MACRO floor_div(a, b) AS a // b")
                for name in ("trades", "tickers"):
                    session.register(name, rows_of_day(storage, name, day))
                written = write_sorted(session, candles.candles_query(interval), candles.SCHEMA, candles.ORDER, path)
            storage.put_file(key, path, versions[0])
            storage.put(manifest_key(key), Manifest.of(key, written).encode(), versions[1])
            rows += written.rows
    return rows


def rows_of_day(storage: Storage, table_name: str, day: datetime) -> arrow_dataset.Dataset:
    dataset = PROCESSED[table_name]
    filesystem, folder = storage.filesystem()
    keys = [dataset.object_key(day + number * HOUR) for number in range(24)]
    files = [f"{folder}/{key}" for key in keys if storage.version(key) is not None]
    schema: pa.Schema = schema_of(dataset.table)
    return arrow_dataset.dataset(files, schema, format="parquet", filesystem=filesystem)
