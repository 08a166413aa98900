"""Describe the record tables' columns as rows are written to them: sql/shared and sql/timeseries in Python's terms."""

from collections.abc import Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, NamedTuple

Row = tuple[Any, ...]

# If a table has this column, an older row never replaces a newer one.
UPDATED_AT = "updated_at"


class ColumnType(Enum):
    """The Python value of a column in a row."""

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


class TableColumn(NamedTuple):
    name: str
    type: ColumnType
    nullable: bool = False


class Table(NamedTuple):
    name: str
    time_column: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...] = ()  # a row replaces the one with the same key; without a key, rows never change
    # The columns by which two gatherers' rows are one event: the primary key in production. The rules of merging, the
    # overlap of gatherers and the verdicts of a rehearsal take them from here. Only app/lake/rebuild.py and
    # app/lake/announcements.py have their own, so that the rebuild checks the deduplicator independently.
    identity: tuple[str, ...] = ()

    @property
    def timeless_identity(self) -> tuple[str, ...]:
        """Return the identity of rows whose time may differ between gatherers."""
        return tuple(name for name in self.identity if name != self.time_column)

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
        TableColumn("exchange_ts", TIMESTAMP),
        TableColumn("received_at", TIMESTAMP),
        TableColumn("clock", BIGINT),
        TableColumn("delta_e2", BIGINT),
        TableColumn("price_e6", INTEGER),
        TableColumn("nth", INTEGER),
        TableColumn("yes_side", BOOLEAN),
        TableColumn("after_gap", BOOLEAN),
        TableColumn("ts_missing", BOOLEAN),
        TableColumn("ticker", TEXT),
    ),
    identity=("exchange_ts", "ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
)
PRODUCTION_TRADES = Table(
    "trades",
    "exchange_ts",
    (
        TableColumn("exchange_ts", TIMESTAMP),
        TableColumn("received_at", TIMESTAMP),
        TableColumn("size_e2", BIGINT),
        TableColumn("yes_price_e6", INTEGER),
        TableColumn("taker_yes", BOOLEAN),
        TableColumn("is_block_trade", BOOLEAN, nullable=True),
        TableColumn("from_rest", BOOLEAN),
        TableColumn("ticker", TEXT),
        TableColumn("trade_id", TEXT),
    ),
    identity=("exchange_ts", "trade_id"),
)
PRODUCTION_TICKERS = Table(
    "tickers",
    "exchange_ts",
    (
        TableColumn("exchange_ts", TIMESTAMP),
        TableColumn("received_at", TIMESTAMP),
        TableColumn("digest", BIGINT),
        TableColumn("yes_bid_size_e2", BIGINT, nullable=True),
        TableColumn("yes_ask_size_e2", BIGINT, nullable=True),
        TableColumn("last_trade_size_e2", BIGINT, nullable=True),
        TableColumn("volume_e2", BIGINT, nullable=True),
        TableColumn("open_interest_e2", BIGINT, nullable=True),
        TableColumn("dollar_volume", BIGINT, nullable=True),
        TableColumn("dollar_open_interest", BIGINT, nullable=True),
        TableColumn("price_e6", INTEGER, nullable=True),
        TableColumn("yes_bid_e6", INTEGER, nullable=True),
        TableColumn("yes_ask_e6", INTEGER, nullable=True),
        TableColumn("nth", INTEGER),
        TableColumn("ts_missing", BOOLEAN),
        TableColumn("ticker", TEXT),
    ),
    identity=("exchange_ts", "ticker", "digest", "nth"),
)
PRODUCTION_ORDERBOOK_SNAPSHOTS = Table(
    "orderbook_snapshots",
    "snapshot_ts",
    (
        TableColumn("snapshot_ts", TIMESTAMP),
        TableColumn("received_at", TIMESTAMP),
        TableColumn("clock", BIGINT),
        TableColumn("levels_digest", BIGINT),
        TableColumn("ticker", TEXT),
        TableColumn("source", TEXT),
        TableColumn("yes_prices_e6", ColumnType.INTEGER_ARRAY, nullable=True),
        TableColumn("yes_sizes_e2", ColumnType.BIGINT_ARRAY, nullable=True),
        TableColumn("no_prices_e6", ColumnType.INTEGER_ARRAY, nullable=True),
        TableColumn("no_sizes_e2", ColumnType.BIGINT_ARRAY, nullable=True),
    ),
    identity=("snapshot_ts", "ticker", "source"),
)
PRODUCTION_LIFECYCLE_EVENTS = Table(
    "lifecycle_events",
    "exchange_ts",
    (
        TableColumn("exchange_ts", TIMESTAMP),
        TableColumn("received_at", TIMESTAMP),
        TableColumn("digest", BIGINT),
        TableColumn("nth", INTEGER),
        TableColumn("ticker", TEXT),
        TableColumn("event_type", TEXT),
        TableColumn("payload", ColumnType.JSON),
    ),
    identity=("exchange_ts", "ticker", "event_type", "digest", "nth"),
)
PRODUCTION_TABLES = (
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_TRADES,
    PRODUCTION_TICKERS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_LIFECYCLE_EVENTS,
)

# Where a row was received; only a gatherer's own tables have these columns.
# What a connection's number says, in every row's lineage. Each exchange-wide channel has two, for redundancy.
TICKER_CONNECTIONS = (1, 2)
TRADE_CONNECTIONS = (3, 4)
LIFECYCLE_CONNECTIONS = (5, 6)
FIRST_BOOK_CONNECTION = 7
LINEAGE = (TableColumn("conn", ColumnType.SMALLINT), TableColumn("sid", INTEGER), TableColumn("seq", BIGINT))


def with_lineage(table: Table) -> Table:
    return table._replace(columns=table.columns + LINEAGE)


ORDERBOOK_DELTAS = with_lineage(PRODUCTION_ORDERBOOK_DELTAS)
TRADES = with_lineage(PRODUCTION_TRADES)
# Ticker messages carry no seq.
TICKERS = PRODUCTION_TICKERS._replace(columns=PRODUCTION_TICKERS.columns + LINEAGE[:2])
ORDERBOOK_SNAPSHOTS = with_lineage(PRODUCTION_ORDERBOOK_SNAPSHOTS)
LIFECYCLE_EVENTS = with_lineage(PRODUCTION_LIFECYCLE_EVENTS)
GATHERER_TABLES = (ORDERBOOK_DELTAS, TRADES, TICKERS, ORDERBOOK_SNAPSHOTS, LIFECYCLE_EVENTS)


# Columns of series, events and markets as rows are written to them: sql/metadata in Python's terms.

SERIES = Table(
    "series",
    "updated_at",
    (
        TableColumn("ticker", TEXT),
        TableColumn("title", TEXT),
        TableColumn("category", TEXT, nullable=True),
        TableColumn("frequency", TEXT, nullable=True),
        TableColumn("exchange_index", INTEGER, nullable=True),
        TableColumn("last_updated_ts", TIMESTAMP, nullable=True),
        TableColumn("updated_at", TIMESTAMP),
        TableColumn("details", ColumnType.JSON),
    ),
    key=("ticker",),
)
EVENTS = Table(
    "events",
    "updated_at",
    (
        TableColumn("event_ticker", TEXT),
        TableColumn("series_ticker", TEXT),
        TableColumn("title", TEXT),
        TableColumn("sub_title", TEXT, nullable=True),
        TableColumn("mutually_exclusive", BOOLEAN, nullable=True),
        TableColumn("exchange_index", INTEGER, nullable=True),
        TableColumn("last_updated_ts", TIMESTAMP, nullable=True),
        TableColumn("updated_at", TIMESTAMP),
        TableColumn("details", ColumnType.JSON),
    ),
    key=("event_ticker",),
)
MARKETS = Table(
    "markets",
    "updated_at",
    (
        TableColumn("ticker", TEXT),
        TableColumn("event_ticker", TEXT),
        TableColumn("title", TEXT),
        TableColumn("yes_sub_title", TEXT, nullable=True),
        TableColumn("no_sub_title", TEXT, nullable=True),
        TableColumn("status", TEXT),
        TableColumn("market_type", TEXT),
        TableColumn("result", TEXT),
        TableColumn("exchange_index", INTEGER, nullable=True),
        TableColumn("created_time", TIMESTAMP, nullable=True),
        TableColumn("open_time", TIMESTAMP, nullable=True),
        TableColumn("close_time", TIMESTAMP, nullable=True),
        TableColumn("expiration_time", TIMESTAMP, nullable=True),
        TableColumn("settlement_ts", TIMESTAMP, nullable=True),
        TableColumn("settlement_value_e6", ColumnType.BIGINT, nullable=True),
        TableColumn("price_level_structure", TEXT, nullable=True),
        TableColumn("mve_collection_ticker", TEXT, nullable=True),
        TableColumn("updated_time", TIMESTAMP, nullable=True),
        TableColumn("updated_at", TIMESTAMP),
        TableColumn("details", ColumnType.JSON),
    ),
    key=("ticker",),
)
# A market that REST no longer shows leaves a row of what the stream reported: these columns, without details. What REST
# showed before stays: see complete_told_market() in sql/metadata.
NO_DETAILS = b"null"
TOLD_COLUMNS = ("status", "result", "close_time", "updated_time", "updated_at")
METADATA_TABLES = (SERIES, EVENTS, MARKETS)


# The gatherer's journal of its own recording: sql/timeseries/0007_recording.sql in Python's terms.

RUNS = Table(
    "runs",
    "started_at",
    (
        TableColumn("run_id", BIGINT),
        TableColumn("gatherer", TEXT),
        TableColumn("started_at", TIMESTAMP),
        TableColumn("recorded_until", TIMESTAMP),
        TableColumn("ended_at", TIMESTAMP, nullable=True),
    ),
    key=("run_id",),
)
SUBSCRIPTIONS = Table(
    "subscriptions",
    "started_at",
    (
        TableColumn("run_id", BIGINT),
        TableColumn("started_at", TIMESTAMP),
        TableColumn("ended_at", TIMESTAMP, nullable=True),
        TableColumn("conn", ColumnType.SMALLINT),
        TableColumn("channel", TEXT),
        TableColumn("ticker", TEXT),
    ),
    key=("run_id", "conn", "channel", "ticker", "started_at"),
)
GAPS = Table(
    "gaps",
    "started_at",
    (
        TableColumn("run_id", BIGINT),
        TableColumn("number", INTEGER),
        TableColumn("conn", ColumnType.SMALLINT),
        TableColumn("started_at", TIMESTAMP),
        TableColumn("ended_at", TIMESTAMP, nullable=True),
        TableColumn("sid", INTEGER),
        TableColumn("markets", INTEGER),
        TableColumn("missing", BIGINT, nullable=True),
        TableColumn("channel", TEXT),
        TableColumn("cause", TEXT),
    ),
    key=("run_id", "number"),
)
JOURNAL_TABLES = (RUNS, SUBSCRIPTIONS, GAPS)

# Frames that could not be parsed, and rows that their table refused.
QUARANTINE = Table(
    "quarantine",
    "quarantined_at",
    (
        TableColumn("quarantined_at", TIMESTAMP),
        TableColumn("table_name", TEXT, nullable=True),
        TableColumn("reason", TEXT),
        TableColumn("payload", ColumnType.BYTES),
    ),
)
