"""For whoever wants the data and not the platform: `app.lake.open()` gives pyarrow datasets, lazily."""

from datetime import datetime

import pyarrow as pa
from pyarrow import dataset as arrow_dataset
from pyarrow.dataset import Dataset

from app.errors import OperatorError
from app.lake import candles
from app.lake.dataset import PROCESSED
from app.lake.manifest import decode_manifest
from app.lake.schema import schema_of
from app.lake.storage import Storage, storage_at, storage_errors

DATE = pa.field("date", pa.string())
HOUR = pa.field("hour", pa.string())
# Of an object that is replaced while it is read, pages of the new one lie elsewhere: an error, and not other values.
CHECKED = arrow_dataset.ParquetFileFormat(
    default_fragment_scan_options=arrow_dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
)
INTERVAL = pa.field("interval", pa.string())


class Lake:
    """Datasets of a lake. `date` and `hour` are columns too: filter on them, and only these files are read."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def orderbook_deltas(self) -> Dataset:
        return self.processed("orderbook_deltas")

    @property
    def orderbook_snapshots(self) -> Dataset:
        return self.processed("orderbook_snapshots")

    @property
    def trades(self) -> Dataset:
        return self.processed("trades")

    @property
    def tickers(self) -> Dataset:
        return self.processed("tickers")

    @property
    def lifecycle_events(self) -> Dataset:
        return self.processed("lifecycle_events")

    @property
    def candles(self) -> Dataset:
        """`interval` is 1m, 1h or 1d."""
        return self._dataset("aggregates/ohlcv", candles.SCHEMA, [INTERVAL, DATE])

    def recorded_until(self) -> datetime | None:
        """Return when the last event happened that the lake has. None: it has none."""
        last = [
            decode_manifest(content).last_time
            for dataset in PROCESSED.values()
            if (key := max(self._storage.keys(f"_manifest/{dataset.folder}"), default=None))
            if (content := self._storage.read(key))
        ]
        return max((datetime.fromisoformat(time) for time in last if time), default=None)

    def processed(self, table_name: str) -> Dataset:
        return self._dataset(f"processed/{table_name}", schema_of(PROCESSED[table_name].table), [DATE, HOUR])

    def _dataset(self, folder: str, schema: pa.Schema, folders: list[pa.Field]) -> Dataset:
        if next(iter(self._storage.keys(folder)), None) is None:
            fix = "export some hours first, or name another lake by KALSHI_LAKE."
            raise OperatorError(f"The lake at {self._storage.location} has no {folder}.", fix=fix)
        for field in folders:
            schema = schema.append(field)
        partitioning = arrow_dataset.partitioning(pa.schema(folders), flavor="hive")
        with storage_errors(f"The lake's {folder}"):
            filesystem, root = self._storage.filesystem()
            return arrow_dataset.dataset(
                f"{root}/{folder}", schema, format=CHECKED, filesystem=filesystem, partitioning=partitioning
            )


def open_lake(where: str) -> Lake:
    """A folder, or `s3://bucket/prefix`."""
    return Lake(storage_at(where))
