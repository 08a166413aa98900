"""The engines that run the lake's SQL: DuckDB on one machine, Spark on a cluster."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb
import pyarrow as pa

from app.lake.parquet import duckdb_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Files = Mapping[str, list[str]]


class Engine(Protocol):
    def rows(
        self, query: str, views: Files, schemas: Mapping[str, pa.Schema], condition: str = "TRUE"
    ) -> pa.RecordBatchReader:
        """Return the query's rows. Each view has the rows of its Parquet files that meet the condition; a view without
        files is empty."""


class DuckDbEngine:
    def __init__(self, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session
        session.execute("CREATE MACRO floor_div(a, b) AS a // b")

    def rows(
        self, query: str, views: Files, schemas: Mapping[str, pa.Schema], condition: str = "TRUE"
    ) -> pa.RecordBatchReader:
        self.create_views(views, schemas, condition)
        return self._session.sql(query).to_arrow_reader()

    def create_views(self, views: Files, schemas: Mapping[str, pa.Schema], condition: str = "TRUE") -> None:
        """Create the views."""
        for name, files in views.items():
            found = (
                # Only the columns in the file: the folders `date=…/hour=…` would otherwise become columns, which the
                # tables lack.
                self._session.read_parquet(files, hive_partitioning=False)
                if files
                else self._session.from_arrow(schemas[name].empty_table())
            )
            found.filter(condition).create_view(name, replace=True)


class SparkEngine:
    def __init__(self, session: "SparkSession") -> None:
        self._session = session
        session.sql(
            "CREATE OR REPLACE TEMPORARY FUNCTION floor_div(a BIGINT, b BIGINT) RETURNS BIGINT "
            "RETURN CASE WHEN a % b < 0 THEN (a div b) - 1 ELSE a div b END"
        )

    def rows(
        self, query: str, views: Files, schemas: Mapping[str, pa.Schema], condition: str = "TRUE"
    ) -> pa.RecordBatchReader:
        for name, files in views.items():
            empty = schemas[name].empty_table()
            found = self._session.read.parquet(*files) if files else self._session.createDataFrame(empty)
            found.where(condition).createOrReplaceTempView(name)
        table: pa.Table = self._session.sql(query).toArrow()
        return table.to_reader()


@contextmanager
def engine_of(name: str) -> Iterator[Engine]:
    if name == "duckdb":
        with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, duckdb_session(Path(folder)) as session:
            yield DuckDbEngine(session)
    else:
        with _spark() as spark:
            yield SparkEngine(spark)


@contextmanager
def _spark() -> Iterator["SparkSession"]:
    """Open a session on the cluster that Spark's own configuration names, or on this machine if it names none."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - installed only where it is used

    # Spark creates its warehouse in the working directory. Nothing is kept in it, so it gets a temporary folder.
    with tempfile.TemporaryDirectory(prefix="kalshi-spark-") as warehouse:
        session = (
            SparkSession.builder.appName("kalshi-data lake")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.execution.arrow.pyspark.enabled", "true")
            .config("spark.sql.warehouse.dir", warehouse)
            .config("spark.ui.enabled", "false")
            .getOrCreate()
        )
        try:
            yield session
        finally:
            session.stop()
