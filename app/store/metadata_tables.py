"""The columns of series, events and markets as rows are written to them: sql/metadata in Python's terms."""

from app.store.tables import BOOLEAN, INTEGER, TEXT, TIMESTAMP, Column, ColumnType, Table

SERIES = Table(
    "series",
    "updated_at",
    (
        Column("ticker", TEXT),
        Column("title", TEXT),
        Column("category", TEXT, nullable=True),
        Column("frequency", TEXT, nullable=True),
        Column("exchange_index", INTEGER, nullable=True),
        Column("last_updated_ts", TIMESTAMP, nullable=True),
        Column("updated_at", TIMESTAMP),
        Column("details", ColumnType.JSON),
    ),
    key=("ticker",),
)
EVENTS = Table(
    "events",
    "updated_at",
    (
        Column("event_ticker", TEXT),
        Column("series_ticker", TEXT),
        Column("title", TEXT),
        Column("sub_title", TEXT, nullable=True),
        Column("mutually_exclusive", BOOLEAN, nullable=True),
        Column("exchange_index", INTEGER, nullable=True),
        Column("last_updated_ts", TIMESTAMP, nullable=True),
        Column("updated_at", TIMESTAMP),
        Column("details", ColumnType.JSON),
    ),
    key=("event_ticker",),
)
MARKETS = Table(
    "markets",
    "updated_at",
    (
        Column("ticker", TEXT),
        Column("event_ticker", TEXT),
        Column("title", TEXT),
        Column("yes_sub_title", TEXT, nullable=True),
        Column("no_sub_title", TEXT, nullable=True),
        Column("status", TEXT),
        Column("market_type", TEXT),
        Column("result", TEXT),
        Column("exchange_index", INTEGER, nullable=True),
        Column("created_time", TIMESTAMP, nullable=True),
        Column("open_time", TIMESTAMP, nullable=True),
        Column("close_time", TIMESTAMP, nullable=True),
        Column("expiration_time", TIMESTAMP, nullable=True),
        Column("settlement_ts", TIMESTAMP, nullable=True),
        Column("settlement_value_e6", ColumnType.BIGINT, nullable=True),
        Column("price_level_structure", TEXT, nullable=True),
        Column("mve_collection_ticker", TEXT, nullable=True),
        Column("updated_time", TIMESTAMP, nullable=True),
        Column("updated_at", TIMESTAMP),
        Column("details", ColumnType.JSON),
    ),
    key=("ticker",),
)
# A market that REST shows no more leaves a row with what the stream told: these columns, and no details. What REST
# showed before stays as it is: see complete_told_market() in sql/metadata.
NO_DETAILS = b"null"
TOLD_COLUMNS = ("status", "result", "close_time", "updated_time", "updated_at")
METADATA_TABLES = (SERIES, EVENTS, MARKETS)
