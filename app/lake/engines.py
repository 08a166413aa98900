"""DuckDB as the engine of the lake's SQL on one machine, and where its dialect and Spark's differ.

The queries are the same for both (rebuild.py, candles.py): whatever they lack in common is a function that each
defines here in its own words. app/lake/spark.py runs them on a cluster.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from app.lake.parquet import duckdb_session

Files = Mapping[str, list[str]]

DUCKDB_FUNCTIONS = [
    "CREATE MACRO floor_div(a, b) AS a // b",
    "CREATE MACRO explode(l) AS unnest(l)",
    "CREATE MACRO level_count(l) AS len(l)",
    """
    CREATE MACRO level_list(prices, sizes) AS
    list_transform(list_zip(prices, sizes), lambda pair: {'price_e6': pair[1], 'size_e2': pair[2]})
    """,
    """
    CREATE MACRO interval_list(starts, ends) AS
    list_transform(list_zip(starts, ends), lambda pair: {'since': pair[1], 'until': pair[2]})
    """,
]
# `explode` is Spark's own.
SPARK_FUNCTIONS = [
    """
    CREATE OR REPLACE TEMPORARY FUNCTION floor_div(a BIGINT, b BIGINT) RETURNS BIGINT
    RETURN CASE WHEN a % b < 0 THEN (a div b) - 1 ELSE a div b END
    """,
    """
    CREATE OR REPLACE TEMPORARY FUNCTION level_count(l ARRAY<INT>) RETURNS INT
    RETURN size(l)
    """,
    """
    CREATE OR REPLACE TEMPORARY FUNCTION level_list(prices ARRAY<INT>, sizes ARRAY<BIGINT>)
    RETURNS ARRAY<STRUCT<price_e6: INT, size_e2: BIGINT>>
    RETURN zip_with(prices, sizes, (price, size) -> named_struct('price_e6', price, 'size_e2', size))
    """,
    """
    CREATE OR REPLACE TEMPORARY FUNCTION interval_list(starts ARRAY<TIMESTAMP>, ends ARRAY<TIMESTAMP>)
    RETURNS ARRAY<STRUCT<since: TIMESTAMP, until: TIMESTAMP>>
    RETURN zip_with(starts, ends, (start, stop) -> named_struct('since', start, 'until', stop))
    """,
]


class DuckDbEngine:
    def __init__(self, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session
        for function in DUCKDB_FUNCTIONS:
            session.execute(function)

    def rows(
        self, query: str, views: Files, schemas: Mapping[str, pa.Schema], condition: str = "TRUE"
    ) -> pa.RecordBatchReader:
        """Return the query's rows. Each view has the rows of its Parquet files that meet the condition; a view without
        files is empty."""
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


@contextmanager
def duckdb_engine() -> Iterator[DuckDbEngine]:
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, duckdb_session(Path(folder)) as session:
        yield DuckDbEngine(session)
