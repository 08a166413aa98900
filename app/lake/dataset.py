"""What the lake holds: which rows lie where, in which order."""

from datetime import datetime
from typing import NamedTuple

from app.lake.hours import hour_folder
from app.store.tables import GATHERER_TABLES, PRODUCTION_TABLES, Table

# What makes a row the event that it is, by ticker and time first: the order in the files, which has no ties.
IDENTITY = {
    "orderbook_deltas": ("ticker", "exchange_ts", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
    "trades": ("ticker", "exchange_ts", "trade_id"),
    "tickers": ("ticker", "exchange_ts", "digest", "nth"),
    "orderbook_snapshots": ("ticker", "snapshot_ts", "source"),
    "lifecycle_events": ("ticker", "exchange_ts", "event_type", "digest", "nth"),
}


class Dataset(NamedTuple):
    """A table of one database, hour by hour."""

    name: str  # in the ledger
    table: Table
    folder: str
    file: str = "part-0.parquet"

    @property
    def is_raw(self) -> bool:
        """Whether it is of a gatherer, as received."""
        return self.name != self.table.name

    @property
    def identity(self) -> tuple[str, ...]:
        return IDENTITY[self.table.name]

    def object_key(self, hour: datetime) -> str:
        return f"{self.folder}/{hour_folder(hour)}/{self.file}"

    def manifest_key(self, hour: datetime) -> str:
        return manifest_key(self.object_key(hour))


def manifest_key(object_key: str) -> str:
    """Apart from the data, so that whatever reads a data folder finds Parquet there and nothing else."""
    return f"_manifest/{object_key.removesuffix('.parquet')}.json"


def raw_dataset(table: Table, gatherer: str, system_identifier: int) -> Dataset:
    """A gatherer's rows as received. A database that is made anew counts its rows anew: its files lie beside those of
    the one before it, and replace none."""
    return Dataset(
        raw_name(table.name, system_identifier),
        table,
        raw_folder(table.name, gatherer),
        f"part-{system_identifier}.parquet",
    )


def raw_name(table_name: str, system_identifier: int) -> str:
    """Of a gatherer's table, in the ledger that its own database keeps."""
    return f"raw/{system_identifier}/{table_name}"


def raw_folder(table_name: str, gatherer: str) -> str:
    return f"raw/{table_name}/gatherer={gatherer}"


PROCESSED = {table.name: Dataset(table.name, table, f"processed/{table.name}") for table in PRODUCTION_TABLES}
RAW_TABLES = GATHERER_TABLES
