"""The lake's datasets, as the databases' tables fill them: kalshi_data defines their layout and schemas."""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from app.storage.confirmation import raw_name
from app.storage.tables import GATHERER_TABLES, PRODUCTION_TABLES, Table
from kalshi_data import schema as lake_schema
from kalshi_data.layout import FILE, FOLDERS, IDENTITY, day_folder, hour_folder, manifest_key
from kalshi_data.schema import LINEAGE


class Dataset(NamedTuple):
    """A table of one database, hour by hour."""

    name: str  # the name in the ledger
    table: Table
    folder: str
    file: str = FILE
    is_daily: bool = False  # one object a day, not an hour

    @property
    def is_raw(self) -> bool:
        """Return whether it has a gatherer's rows as received."""
        return self.name != self.table.name

    @property
    def identity(self) -> tuple[str, ...]:
        return IDENTITY[self.table.name]

    def object_key(self, hour: datetime) -> str:
        return f"{self.folder}/{day_folder(hour) if self.is_daily else hour_folder(hour)}/{self.file}"

    def manifest_key(self, hour: datetime) -> str:
        return manifest_key(self.object_key(hour))


def raw_dataset(table: Table, gatherer: str, system_identifier: int) -> Dataset:
    """Return the dataset of a gatherer's rows as received. A recreated database counts ingest_ids from the start again,
    so its files have other names and replace none of the earlier database's."""
    return Dataset(
        raw_name(table.name, system_identifier),
        table,
        raw_folder(table.name, gatherer),
        f"part-{system_identifier}.parquet",
    )


def raw_folder(table_name: str, gatherer: str) -> str:
    return f"raw/{table_name}/gatherer={gatherer}"


PROCESSED = {table.name: Dataset(table.name, table, FOLDERS[table.name]) for table in PRODUCTION_TABLES}
RAW_TABLES = GATHERER_TABLES


def schema_of(table: Table) -> pa.Schema:
    """Return the schema of a table's files; a gatherer's table has the columns of its lineage too."""
    return lake_schema.schema_of(table.name, tuple(name for name in LINEAGE if name in table.column_names))
