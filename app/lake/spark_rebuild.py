"""Rebuild processed/ and aggregates/ from raw/ on Spark, all hours at once.

One job for each table: executors read raw/ of the whole time, merge copies by the rules of app/lake/rebuild.py, and
write an object for each hour, as the exporter would. The rules' windows cross the borders of hours by themselves.
"""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from app.lake import candles
from app.lake.announcements import events_of
from app.lake.candle_days import candles_key
from app.lake.glacier import raw_objects, refuse_what_is_in_glacier
from app.lake.layout import PROCESSED, Dataset, schema_of
from app.lake.rebuild import BESIDE, SAME_EVENT, happens_within
from app.lake.spark import STARTS_AT, Place, kept, spark_errors, table_of, write_objects
from kalshi_data.layout import DAY, HOUR, day_of, hour_of, hours_between
from kalshi_data.times import Interval

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

GATHERER = pa.field("gatherer", pa.string())
# Lifecycle messages of a market are merged together. A task takes many markets at once, and holds them in memory.
SHARES_AN_HOUR = 8


def rebuild_on_spark(
    session: "SparkSession", source: Place, into: Place, start: datetime, end: datetime
) -> dict[str, int]:
    """Make processed/ and aggregates/ of another lake from raw/. Return how many rows, by dataset."""
    refuse_what_is_in_glacier(source.storage(), start, end)
    hours = list(hours_between(start, end))
    period = (hour_of(start), hours[-1] + HOUR)
    done = {}
    for name, dataset in PROCESSED.items():
        with spark_errors(f"Merging {name}"):
            done[name] = _rebuild_table(session, source, into, dataset, period)
    with spark_errors("Making candles"):
        done["ohlcv"] = _rebuild_candles(session, into, (day_of(start), day_of(hours[-1]) + DAY))
    return done


def _rebuild_table(session: "SparkSession", source: Place, into: Place, dataset: Dataset, period: Interval) -> int:
    keys = [found.key for found in raw_objects(source.storage(), dataset.name, *period)]
    if not keys:
        return 0
    schema = schema_of(dataset.table)
    is_sql = dataset.name in SAME_EVENT
    beside = BESIDE[dataset.name]
    copies = table_of(session, source, keys, schema if is_sql else schema.append(GATHERER)).where(
        happens_within(dataset, period[0] - beside, period[1] + beside)
    )
    hours = (period[1] - period[0]) // HOUR
    with kept(copies):
        events = _merged(session, dataset.name, copies) if is_sql else _announced(copies, schema, hours)
        of_period = events.where(happens_within(dataset, *period))
        placed = of_period.selectExpr("*", f"date_trunc('hour', {dataset.table.time_column}) AS {STARTS_AT}")
        return write_objects(placed, into, schema, dataset.identity, dataset.object_key, hours)


def _merged(session: "SparkSession", name: str, copies: "DataFrame") -> "DataFrame":
    copies.createOrReplaceTempView(name)
    return session.sql(SAME_EVENT[name])


def _announced(copies: "DataFrame", schema: pa.Schema, hours: int) -> "DataFrame":
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - installed only where it is used

    def merged(share: pa.Table) -> pa.Table:
        return events_of(share.drop_columns(["share"])).select(schema.names).cast(schema)

    shares = copies.selectExpr("*", f"pmod(xxhash64(ticker), {hours * SHARES_AN_HOUR}) AS share")
    return shares.groupBy("share").applyInArrow(merged, from_arrow_schema(schema))


def _rebuild_candles(session: "SparkSession", into: Place, period: Interval) -> int:
    keys = {name: _written_keys(into, PROCESSED[name], period) for name in ("trades", "tickers")}
    if not any(keys.values()):
        return 0
    trades, tickers = (
        table_of(session, into, keys[name], schema_of(PROCESSED[name].table)) for name in ("trades", "tickers")
    )
    rows = 0
    with kept(trades), kept(tickers):
        trades.createOrReplaceTempView("trades")
        tickers.createOrReplaceTempView("tickers")
        for interval in candles.INTERVALS:
            made = session.sql(candles.candles_query(interval))
            placed = made.selectExpr("*", f"date_trunc('day', start_ts) AS {STARTS_AT}")
            key_of, days = partial(candles_key, interval), (period[1] - period[0]) // DAY
            rows += write_objects(placed, into, candles.SCHEMA, candles.ORDER, key_of, days)
    return rows


def _written_keys(place: Place, dataset: Dataset, period: Interval) -> list[str]:
    wanted = set(map(dataset.object_key, hours_between(*period)))
    return [key for key in place.storage().keys(dataset.folder) if key in wanted]
