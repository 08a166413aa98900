"""Whatever production takes comes back out of the lake as it is, whoever reads it."""

import math
import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from pyarrow import parquet

from app.lake.exporter import HourExporter
from app.lake.layout import PROCESSED
from app.lake.reader import lake_of
from app.lake.storage import FolderStorage
from app.lake.verifier import FileVerdict, Verifier
from app.postgres.connection import connected
from app.storage.tables import PRODUCTION_TABLES, ColumnType
from tests.lake.any_rows import rows_of
from tests.lake.exporting import EVER, export_all, ledger_of, write
from tests.storage.reading import EPOCH
from tests.storage.reading import rows_of as stored_rows

PATIENT = settings(
    deadline=None,
    max_examples=4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def plain(value):
    """A value of any reader in the words that rows are written in."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "tzinfo"):
        return (value - EPOCH) // timedelta(microseconds=1)
    return value


def through_duckdb(files, names):
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        rows = database.read_parquet(files).select(", ".join(names)).to_arrow_table().to_pylist()
    return [tuple(row[name] for name in names) for row in rows]


def through_polars(files, names):
    return pl.read_parquet(files, columns=list(names), hive_partitioning=False).select(names).rows()


def through_pandas(files, names):
    frames = [pd.read_parquet(file, columns=list(names), dtype_backend="pyarrow", partitioning=None) for file in files]
    return [row for frame in frames for row in frame[list(names)].itertuples(index=False, name=None)]


def through_pyarrow(files, names):
    tables = [parquet.read_table(file, columns=list(names), partitioning=None) for file in files]
    return [tuple(row[name] for name in names) for table in tables for row in table.to_pylist()]


READERS = (through_duckdb, through_polars, through_pandas, through_pyarrow)


@pytest.mark.parametrize("table", PRODUCTION_TABLES, ids=lambda table: table.name)
def test_every_value_comes_back(table, production):
    dataset = PROCESSED[table.name]

    @PATIENT
    @given(rows_of(table))
    def comes_back(rows):
        with connected(production) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = 5000; TRUNCATE {table.name}, exports, export_cursors")
            connection.commit()
        write(production, table, rows)
        with connected(production) as connection:
            expected = [tuple(map(plain, row)) for row in stored_rows(connection, table)]
        with tempfile.TemporaryDirectory() as folder, ledger_of(production, FolderStorage(Path(folder))) as ledger:
            storage = FolderStorage(Path(folder))
            export_all(HourExporter(production, ledger, storage), ledger, [dataset])
            verifier = Verifier(production, ledger, storage)
            verdicts = [verifier.verify(dataset, hour).verdict for hour in ledger.hours(dataset, *EVER)]
            assert set(verdicts) == {FileVerdict.SAME}
            files = [str(storage.folder / key) for key in storage.keys("processed")]
            for read in READERS:
                found = [tuple(map(plain, row)) for row in read(files, table.column_names)]
                assert sorted(found, key=repr) == sorted(expected, key=repr), read.__name__
            assert lake_of(storage).dataset(table.name).count_rows() == len(expected)

    comes_back()


def test_no_type_of_a_column_is_left_out():
    assert {column.type for table in PRODUCTION_TABLES for column in table.columns} <= set(ColumnType)
