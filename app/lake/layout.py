"""The layout of the lake: datasets, the folders of hours, the order of rows, and the files' schemas and encodings."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa

from app.storage.confirmation import raw_name
from app.storage.tables import GATHERER_TABLES, PRODUCTION_TABLES, ColumnType, Table

# Hours and days, as the lake's folders name them.

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    return hour_of(moment).replace(hour=0)


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield every hour that contains a moment from start on and before end."""
    hour = hour_of(start)
    while hour < end:
        yield hour
        hour += HOUR


def hour_folder(hour: datetime) -> str:
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}"


# The columns that identify a row's event, ticker and time first. They also are the order in the files, which has no
# ties.
IDENTITY = {
    "orderbook_deltas": ("ticker", "exchange_ts", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
    "trades": ("ticker", "exchange_ts", "trade_id"),
    "tickers": ("ticker", "exchange_ts", "digest", "nth"),
    "orderbook_snapshots": ("ticker", "snapshot_ts", "source"),
    "lifecycle_events": ("ticker", "exchange_ts", "event_type", "digest", "nth"),
}


class Dataset(NamedTuple):
    """A table of one database, hour by hour."""

    name: str  # the name in the ledger
    table: Table
    folder: str
    file: str = "part-0.parquet"

    @property
    def is_raw(self) -> bool:
        """Return whether it has a gatherer's rows as received."""
        return self.name != self.table.name

    @property
    def identity(self) -> tuple[str, ...]:
        return IDENTITY[self.table.name]

    def object_key(self, hour: datetime) -> str:
        return f"{self.folder}/{hour_folder(hour)}/{self.file}"

    def manifest_key(self, hour: datetime) -> str:
        return manifest_key(self.object_key(hour))


def manifest_key(object_key: str) -> str:
    """Return the key of an object's manifest. Manifests lie apart from the data, so that readers of a data folder find
    only Parquet there."""
    return f"_manifest/{object_key.removesuffix('.parquet')}.json"


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


PROCESSED = {table.name: Dataset(table.name, table, f"processed/{table.name}") for table in PRODUCTION_TABLES}
RAW_TABLES = GATHERER_TABLES


# The meaning of every column, for the files' own metadata and for docs/lake.md.

DOLLARS_E6 = "millionths of a dollar"
CONTRACTS_E2 = "hundredths of a contract"
UTC_TIME = "UTC, to the microsecond"


class Meaning(NamedTuple):
    description: str
    unit: str = ""


MEANINGS = {
    "exchange_ts": Meaning("when it happened, by the exchange; of lifecycle events, when it was sent", UTC_TIME),
    "snapshot_ts": Meaning("when the book was sent, or polled", UTC_TIME),
    "received_at": Meaning("when the first gatherer received it, by that gatherer's clock", UTC_TIME),
    "ticker": Meaning("the market; of some lifecycle events, the event"),
    "clock": Meaning(
        "the exchange's counter of this market's changes; a snapshot holds every change up to and including its own; "
        "-1: none"
    ),
    "delta_e2": Meaning("by how much the level changed; negative: fewer", CONTRACTS_E2),
    "price_e6": Meaning("price of the level, of a NO bid its NO price; in tickers: of the last trade", DOLLARS_E6),
    "nth": Meaning("how many identical events came before it on its connection within the same instant"),
    "yes_side": Meaning("whether it is a YES bid; false: a NO bid, that is, a YES ask at one dollar less the price"),
    "after_gap": Meaning("received after a loss and before the next snapshot, by every gatherer that has it"),
    "ts_missing": Meaning("the message carried no time: exchange_ts is when it was sent"),
    "size_e2": Meaning("how much was traded", CONTRACTS_E2),
    "yes_price_e6": Meaning("price of YES; NO's is one dollar less it", DOLLARS_E6),
    "taker_yes": Meaning("whether the taker took YES"),
    "is_block_trade": Meaning("whether it was negotiated off the book; null: the message does not say"),
    "from_rest": Meaning("no gatherer heard it on a socket; it was fetched by REST"),
    "trade_id": Meaning("the exchange's id of the trade"),
    "digest": Meaning("64 bits of a hash of the values"),
    "yes_bid_size_e2": Meaning("size at the best YES bid", CONTRACTS_E2),
    "yes_ask_size_e2": Meaning("size at the best YES ask", CONTRACTS_E2),
    "last_trade_size_e2": Meaning("size of the last trade", CONTRACTS_E2),
    "volume_e2": Meaning("traded since the market opened; in candles: in the interval", CONTRACTS_E2),
    "open_interest_e2": Meaning("contracts that are held", CONTRACTS_E2),
    "dollar_volume": Meaning("the exchange's figure, as sent"),
    "dollar_open_interest": Meaning("the exchange's figure, as sent"),
    "yes_bid_e6": Meaning("best YES bid; null: nobody bids", DOLLARS_E6),
    "yes_ask_e6": Meaning("best YES ask; null: nobody asks", DOLLARS_E6),
    "levels_digest": Meaning("64 bits of a hash of the levels; a confirmation has that of the book that it confirms"),
    "source": Meaning("`ws`: sent on a socket; `rest`: polled"),
    "yes_prices_e6": Meaning("prices of YES bids; null in all four: a confirmation, the book is unchanged", DOLLARS_E6),
    "yes_sizes_e2": Meaning("their sizes, in the same order", CONTRACTS_E2),
    "no_prices_e6": Meaning("prices of NO bids, at NO prices", DOLLARS_E6),
    "no_sizes_e2": Meaning("their sizes, in the same order", CONTRACTS_E2),
    "event_type": Meaning("created, activated, deactivated, close_date_updated, determined, settled, …"),
    "payload": Meaning("the message, as JSON"),
    "conn": Meaning("number of the gatherer's socket (raw only)"),
    "sid": Meaning("the socket's subscription (raw only)"),
    "seq": Meaning("the subscription's count of messages (raw only)"),
    "start_ts": Meaning("when the interval begins; it ends before the next begins", UTC_TIME),
    "open_e6": Meaning("YES price of the first trade", DOLLARS_E6),
    "high_e6": Meaning("highest YES price", DOLLARS_E6),
    "low_e6": Meaning("lowest YES price", DOLLARS_E6),
    "close_e6": Meaning("YES price of the last trade", DOLLARS_E6),
    "trades": Meaning("how many trades there were"),
    "notional_e8": Meaning("sum of YES price times size, exact", "hundred-millionths of a dollar"),
    "vwap_e6": Meaning("notional by volume, rounded down", DOLLARS_E6),
}


# The files' schemas, with the columns' meanings in the footer, and the columns' encodings.

SCHEMA_VERSION = 1

TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.INTEGER: pa.int32(),
    ColumnType.SMALLINT: pa.int16(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TEXT: pa.string(),
    ColumnType.JSON: pa.string(),
    ColumnType.BIGINT_ARRAY: pa.list_(pa.int64()),
    ColumnType.INTEGER_ARRAY: pa.list_(pa.int32()),
}

# Measured on a million deltas of a thousand markets: pyarrow, which reads whole groups, finds one market's deltas in 8
# ms with this size, and in 16 ms with groups of 250,000 rows. The filter on tickers adds 0.002 bytes a row; it spares
# DuckDB and Spark the group in whose range a market without events would lie.
ROW_GROUP_ROWS = 100_000
TICKER_FILTER = {"ndv": 10_000, "fpp": 0.01}
# Measured on the same data: 7.6 bytes a row with these encodings, 8.6 with plain times and counters, 14.0 with
# dictionaries for all columns. Values that rise within a ticker are stored as differences; columns with few different
# values, or with runs of one value, by dictionary.
RISING = {"exchange_ts", "snapshot_ts", "received_at", "clock", "volume_e2", "start_ts", "notional_e8"}
SCATTERED = {"trade_id", "digest", "levels_digest", "seq"}


def schema_of(table: Table) -> pa.Schema:
    return described(
        table.name, [pa.field(column.name, TYPES[column.type], column.nullable) for column in table.columns]
    )


def described(name: str, fields: list[pa.Field]) -> pa.Schema:
    described_fields = [field.with_metadata(_metadata(field.name)) for field in fields]
    return pa.schema(described_fields, {"table": name, "schema_version": str(SCHEMA_VERSION)})


def encodings(schema: pa.Schema) -> dict[str, Any]:
    """Return the ParquetWriter's options."""
    names = [field.name for field in schema if not pa.types.is_list(field.type)]
    lists = [f"{field.name}.list.element" for field in schema if pa.types.is_list(field.type)]
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [name for name in names if name not in RISING | SCATTERED] + lists,
        "column_encoding": {name: "DELTA_BINARY_PACKED" for name in names if name in RISING},
        "bloom_filter_options": {"ticker": TICKER_FILTER},
        "write_page_index": True,
        "write_page_checksum": True,
        "store_schema": True,
    }


def _metadata(name: str) -> dict[str, str]:
    meaning = MEANINGS[name]
    return {"description": meaning.description} | ({"unit": meaning.unit} if meaning.unit else {})
