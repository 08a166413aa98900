"""Check a lake on Spark: the same as app/lake/check.py, with objects and markets divided among executors."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from app.lake.check import (
    BOOK_TABLES,
    BOOKS,
    COUNTS,
    DIFFERENT,
    MOST_FINDINGS,
    LakeFinding,
    check_object,
    differing_books,
    keys_of,
    stored_keys,
)
from app.lake.spark import Batches, Place, distributed, kept, spark_errors, table_of
from kalshi_data.schema import schema_of
from kalshi_data.times import Interval

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHECKED = pa.schema([("rows", pa.int64()), ("problem", pa.string())])


def check_on_spark(session: "SparkSession", place: Place, start: datetime, end: datetime) -> LakeFinding:
    """Check the objects of this time, and the books in them if no object is wrong."""
    period = start, end
    keys = keys_of(place.storage(), period)
    with spark_errors("Checking objects"):
        checked = distributed(session, keys, partial(_check, place), CHECKED)
        with kept(checked):
            rows = checked.agg({"rows": "sum"}).collect()[0][0] or 0
            wrong = [row["problem"] for row in checked.where("problem <> ''").limit(MOST_FINDINGS).collect()]
    if wrong:
        return LakeFinding(len(keys), rows, Counter(), wrong)
    with spark_errors("Comparing books"):
        return LakeFinding(len(keys), rows, *_check_books(session, place, period))


def _check_books(session: "SparkSession", place: Place, period: Interval) -> tuple[Counter[str], list[str]]:
    storage = place.storage()
    for table in BOOK_TABLES:
        keys = stored_keys(storage, table, period)
        table_of(session, place, keys, schema_of(table)).createOrReplaceTempView(table)
    verdicts = session.sql(BOOKS)
    with kept(verdicts):
        verdicts.createOrReplaceTempView("verdicts")
        books = Counter({row["verdict"]: row["pairs"] for row in session.sql(COUNTS).collect()})
        return books, differing_books(session.sql(DIFFERENT).toArrow())


def _check(place: Place, keys: Iterator[str]) -> Batches:
    storage = place.storage()
    for key in keys:
        rows, problem = check_object(storage, key)
        yield pa.record_batch([[rows], [problem]], CHECKED)
