"""The columns of the record tables as rows are written to them: sql/shared and sql/timeseries in Python's terms."""

from collections.abc import Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, NamedTuple

Row = tuple[Any, ...]

# Where a table has such a column, a row that is older than the known one never replaces it.
UPDATED_AT = "updated_at"


class ColumnType(Enum):
    """What a row's value is made of."""

    TIMESTAMP = "microseconds since 1970"
    BIGINT = "int"
    INTEGER = "int of 32 bits"
    SMALLINT = "int of 16 bits"
    BOOLEAN = "bool"
    TEXT = "str"
    JSON = "bytes"
    BYTES = "bytes as they are"
    BIGINT_ARRAY = "list of int"
    INTEGER_ARRAY = "list of int of 32 bits"


class Column(NamedTuple):
    name: str
    type: ColumnType
    nullable: bool = False


class Table(NamedTuple):
    name: str
    time_column: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()  # a row replaces the one with the same; where there is none, rows never change

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def times_us(self, rows: Sequence[Row]) -> list[int]:
        position = self.column_names.index(self.time_column)
        return [row[position] for row in rows]

    def by_time(self, rows: Sequence[Row]) -> list[Row]:
        return sorted(rows, key=itemgetter(self.column_names.index(self.time_column)))


TIMESTAMP, BIGINT, INTEGER = ColumnType.TIMESTAMP, ColumnType.BIGINT, ColumnType.INTEGER
BOOLEAN, TEXT = ColumnType.BOOLEAN, ColumnType.TEXT

PRODUCTION_ORDERBOOK_DELTAS = Table(
    "orderbook_deltas",
    "exchange_ts",
    (
        Column("exchange_ts", TIMESTAMP),
        Column("received_at", TIMESTAMP),
        Column("clock", BIGINT),
        Column("delta_e2", BIGINT),
        Column("price_e6", INTEGER),
        Column("nth", INTEGER),
        Column("yes_side", BOOLEAN),
        Column("after_gap", BOOLEAN),
        Column("ts_missing", BOOLEAN),
        Column("ticker", TEXT),
    ),
)
PRODUCTION_TRADES = Table(
    "trades",
    "exchange_ts",
    (
        Column("exchange_ts", TIMESTAMP),
        Column("received_at", TIMESTAMP),
        Column("size_e2", BIGINT),
        Column("yes_price_e6", INTEGER),
        Column("taker_yes", BOOLEAN),
        Column("is_block_trade", BOOLEAN, nullable=True),
        Column("from_rest", BOOLEAN),
        Column("ticker", TEXT),
        Column("trade_id", TEXT),
    ),
)
PRODUCTION_TICKERS = Table(
    "tickers",
    "exchange_ts",
    (
        Column("exchange_ts", TIMESTAMP),
        Column("received_at", TIMESTAMP),
        Column("digest", BIGINT),
        Column("yes_bid_size_e2", BIGINT, nullable=True),
        Column("yes_ask_size_e2", BIGINT, nullable=True),
        Column("last_trade_size_e2", BIGINT, nullable=True),
        Column("volume_e2", BIGINT, nullable=True),
        Column("open_interest_e2", BIGINT, nullable=True),
        Column("dollar_volume", BIGINT, nullable=True),
        Column("dollar_open_interest", BIGINT, nullable=True),
        Column("price_e6", INTEGER, nullable=True),
        Column("yes_bid_e6", INTEGER, nullable=True),
        Column("yes_ask_e6", INTEGER, nullable=True),
        Column("nth", INTEGER),
        Column("ts_missing", BOOLEAN),
        Column("ticker", TEXT),
    ),
)
PRODUCTION_ORDERBOOK_SNAPSHOTS = Table(
    "orderbook_snapshots",
    "snapshot_ts",
    (
        Column("snapshot_ts", TIMESTAMP),
        Column("received_at", TIMESTAMP),
        Column("clock", BIGINT),
        Column("levels_digest", BIGINT),
        Column("ticker", TEXT),
        Column("source", TEXT),
        Column("yes_prices_e6", ColumnType.INTEGER_ARRAY, nullable=True),
        Column("yes_sizes_e2", ColumnType.BIGINT_ARRAY, nullable=True),
        Column("no_prices_e6", ColumnType.INTEGER_ARRAY, nullable=True),
        Column("no_sizes_e2", ColumnType.BIGINT_ARRAY, nullable=True),
    ),
)
PRODUCTION_LIFECYCLE_EVENTS = Table(
    "lifecycle_events",
    "exchange_ts",
    (
        Column("exchange_ts", TIMESTAMP),
        Column("received_at", TIMESTAMP),
        Column("digest", BIGINT),
        Column("nth", INTEGER),
        Column("ticker", TEXT),
        Column("event_type", TEXT),
        Column("payload", ColumnType.JSON),
    ),
)
PRODUCTION_TABLES = (
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_TRADES,
    PRODUCTION_TICKERS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_LIFECYCLE_EVENTS,
)

# Where a row came in: only a gatherer's own tables have these.
LINEAGE = (Column("conn", ColumnType.SMALLINT), Column("sid", INTEGER), Column("seq", BIGINT))


def with_lineage(table: Table) -> Table:
    return table._replace(columns=table.columns + LINEAGE)


ORDERBOOK_DELTAS = with_lineage(PRODUCTION_ORDERBOOK_DELTAS)
TRADES = with_lineage(PRODUCTION_TRADES)
# Ticker messages carry no seq.
TICKERS = PRODUCTION_TICKERS._replace(columns=PRODUCTION_TICKERS.columns + LINEAGE[:2])
ORDERBOOK_SNAPSHOTS = with_lineage(PRODUCTION_ORDERBOOK_SNAPSHOTS)
LIFECYCLE_EVENTS = with_lineage(PRODUCTION_LIFECYCLE_EVENTS)
GATHERER_TABLES = (ORDERBOOK_DELTAS, TRADES, TICKERS, ORDERBOOK_SNAPSHOTS, LIFECYCLE_EVENTS)
