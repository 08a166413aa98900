"""The lake for users of the data, without the platform: `app.lake.open()` returns lazy pyarrow datasets.

Also the book of a market at a time, rebuilt from the lake's snapshots and changes.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as arrow_dataset
from pyarrow.dataset import Dataset

from app.errors import OperatorError
from app.lake import candles
from app.lake.layout import DAY, HOUR, PROCESSED, day_of, hours_between, schema_of
from app.lake.parquet import decode_manifest
from app.lake.storage import Storage, storage_at, storage_errors
from app.order_book import (
    LATEST_STAMP,
    BookChange,
    BookSnapshot,
    Knowledge,
    Levels,
    RecordedBook,
    apply_deltas,
    lacking_for_certain,
    recorded_book,
)

DATE_FIELD = pa.field("date", pa.string())
HOUR_FIELD = pa.field("hour", pa.string())
# If an object is replaced while it is read, the new one's pages lie elsewhere. The checksum makes that an error instead
# of wrong values.
CHECKED = arrow_dataset.ParquetFileFormat(
    default_fragment_scan_options=arrow_dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
)
INTERVAL = pa.field("interval", pa.string())


class Lake:
    """The datasets of a lake. `date` and `hour` are columns too: a filter on them limits which files are read."""

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
        """Return the candles. `interval` is 1m, 1h or 1d."""
        return self._dataset("aggregates/ohlcv", candles.SCHEMA, [INTERVAL, DATE_FIELD])

    def recorded_until(self) -> datetime | None:
        """Return the time of the last event in the lake. Return None if the lake is empty."""
        last = [
            decode_manifest(content).last_time
            for dataset in PROCESSED.values()
            if (key := max(self._storage.keys(f"_manifest/{dataset.folder}"), default=None))
            if (content := self._storage.read(key))
        ]
        return max((datetime.fromisoformat(time) for time in last if time), default=None)

    def processed(self, table_name: str) -> Dataset:
        return self._dataset(
            f"processed/{table_name}", schema_of(PROCESSED[table_name].table), [DATE_FIELD, HOUR_FIELD]
        )

    def _dataset(self, folder: str, schema: pa.Schema, folders: list[pa.Field]) -> Dataset:
        if next(iter(self._storage.keys(folder)), None) is None:
            fix = "export some hours first, or set KALSHI_LAKE to another lake."
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
    """Open the lake in a folder, or at `s3://bucket/prefix`."""
    return Lake(storage_at(where))


# The book of a market at a time, from the lake, by the rule of app/order_book.py, and how complete it is known to be.

LOOK_BACK_DAYS = 7
LEVELS = ("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2")
LEVEL = ["yes_side", "price_e6"]
SNAPSHOT_COLUMNS = ["snapshot_ts", "received_at", "clock", "source", *LEVELS]


class NotKnownYetError(OperatorError):
    """The requested time is later than the time up to which the record is known."""


class Book(NamedTuple):
    ticker: str
    at: datetime
    based_on: datetime  # the snapshot's time
    source: str
    changes: int  # since the snapshot
    levels: Levels
    knowledge: Knowledge

    def bids(self, yes_side: bool) -> list[tuple[int, int]]:
        """Return prices and sizes of the bids, the best first."""
        return sorted(((price, size) for (side, price), size in self.levels.items() if side is yes_side), reverse=True)


@storage_errors("A book out of the lake")
def book_at(lake: Lake, ticker: str, at: datetime, knowledge: Knowledge | None = None) -> Book:
    """Return the book at a time. The lake alone does not know of holes; production does, and its knowledge can be
    passed in."""
    knowledge = knowledge or Knowledge("unknown", lake.recorded_until())
    if knowledge.known_until and at > knowledge.known_until:
        raise NotKnownYetError(
            f"The book of {ticker} at {at.isoformat()} is not known yet.",
            f"Completeness is known until {knowledge.known_until.isoformat()}.",
            "ask for that time or an earlier one.",
        )
    record = _Market(lake, ticker)
    found = record.undisputed_book(at) or recorded_book(record, at)
    if found is None:
        raise OperatorError(
            f"The lake has no book of {ticker} at {at.isoformat()}.",
            f"There is no snapshot of it in the {LOOK_BACK_DAYS} days before.",
            "check the ticker; the hours of that time may not be exported yet.",
        )
    return Book(ticker, at, found.based_on, found.source, found.changes, found.levels, knowledge)


class _Market:
    """The lake's record of one market."""

    def __init__(self, lake: Lake, ticker: str) -> None:
        self._lake = lake
        self._ticker = ticker

    def undisputed_book(self, at: datetime) -> RecordedBook | None:
        """Return the book without looking at the order of changes. That is nearly always correct, namely if restarts of
        the clock cannot matter. Return None if they may, or if the snapshot is in doubt or missing."""
        base = self.last_snapshot(at)
        if base is None or base.clock < 0:
            return None
        found = self._changes(base.snapshot_ts - LATEST_STAMP, at)
        is_after, clock = pc.field("exchange_ts") > base.snapshot_ts, pc.field("clock")
        after = found.filter(is_after)
        is_of_older_clocks = pc.field("ts_missing") & (pc.field("received_at") < base.received_at)
        if after.filter((clock >= 0) & ((clock <= base.clock) | is_of_older_clocks)).num_rows:
            return None
        lacking = lacking_for_certain(base, _changes_of(found.filter(~is_after)))
        if lacking is None:
            return None
        totals = after.group_by(LEVEL).aggregate([("delta_e2", "sum")])
        deltas = list(zip(*(totals[name].to_pylist() for name in (*LEVEL, "delta_e2_sum")), strict=True))
        deltas += [(change.yes_side, change.price_e6, change.delta_e2) for change in lacking]
        levels = apply_deltas(base.levels, deltas)
        return RecordedBook(base.snapshot_ts, base.source, after.num_rows + len(lacking), levels)

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        clockless = None
        for day in (day_of(until) - number * DAY for number in range(LOOK_BACK_DAYS)):
            found = self._snapshots(day, until)
            if with_clock := [row for row in found if row["clock"] >= 0]:
                return _snapshot(with_clock[-1])
            clockless = clockless or (_snapshot(found[-1]) if found else None)
        return clockless

    def changes(self, after: datetime, until: datetime) -> list[BookChange]:
        return _changes_of(self._changes(after, until))

    def _snapshots(self, day: datetime, until: datetime) -> list[dict[str, Any]]:
        stamp = pc.field("snapshot_ts")
        wanted = (pc.field("date") == f"{day:%Y-%m-%d}") & (pc.field("ticker") == self._ticker)
        wanted &= (stamp <= until) & pc.field("yes_prices_e6").is_valid()
        rows: list[dict[str, Any]] = (
            self._lake.orderbook_snapshots.to_table(SNAPSHOT_COLUMNS, filter=wanted).sort_by("snapshot_ts").to_pylist()
        )
        return rows

    def _changes(self, after: datetime, until: datetime) -> pa.Table:
        stamp = pc.field("exchange_ts")
        dates = sorted({f"{hour:%Y-%m-%d}" for hour in hours_between(after, until + HOUR)})
        wanted = (pc.field("ticker") == self._ticker) & (stamp > after) & (stamp <= until)
        return self._lake.orderbook_deltas.to_table(
            list(BookChange._fields), filter=pc.field("date").isin(dates) & wanted
        )


def _changes_of(table: pa.Table) -> list[BookChange]:
    columns = table.select(BookChange._fields)
    return [BookChange(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def _snapshot(row: dict[str, Any]) -> BookSnapshot:
    levels = dict(_levels(True, row["yes_prices_e6"], row["yes_sizes_e2"]))
    levels |= dict(_levels(False, row["no_prices_e6"], row["no_sizes_e2"]))
    return BookSnapshot(row["snapshot_ts"], row["received_at"], row["clock"], row["source"], levels)


def _levels(yes_side: bool, prices_e6: list[int], sizes_e2: list[int]) -> Iterator[tuple[tuple[bool, int], int]]:
    return (((yes_side, price_e6), size_e2) for price_e6, size_e2 in zip(prices_e6, sizes_e2, strict=True))
