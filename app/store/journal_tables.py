"""What a gatherer writes about its own recording: sql/timeseries/0007_recording.sql in Python's terms."""

from app.store.tables import BIGINT, INTEGER, TEXT, TIMESTAMP, Column, ColumnType, Table

RUNS = Table(
    "runs",
    "started_at",
    (
        Column("run_id", BIGINT),
        Column("gatherer", TEXT),
        Column("started_at", TIMESTAMP),
        Column("recorded_until", TIMESTAMP),
        Column("ended_at", TIMESTAMP, nullable=True),
    ),
    key=("run_id",),
)
SUBSCRIPTIONS = Table(
    "subscriptions",
    "started_at",
    (
        Column("run_id", BIGINT),
        Column("started_at", TIMESTAMP),
        Column("ended_at", TIMESTAMP, nullable=True),
        Column("conn", ColumnType.SMALLINT),
        Column("channel", TEXT),
        Column("ticker", TEXT),
    ),
    key=("run_id", "conn", "channel", "ticker", "started_at"),
)
GAPS = Table(
    "gaps",
    "started_at",
    (
        Column("run_id", BIGINT),
        Column("number", INTEGER),
        Column("conn", ColumnType.SMALLINT),
        Column("started_at", TIMESTAMP),
        Column("ended_at", TIMESTAMP, nullable=True),
        Column("sid", INTEGER),
        Column("markets", INTEGER),
        Column("missing", BIGINT, nullable=True),
        Column("channel", TEXT),
        Column("cause", TEXT),
    ),
    key=("run_id", "number"),
)
JOURNAL_TABLES = (RUNS, SUBSCRIPTIONS, GAPS)

# A frame that was not understood, or a row that its table refused.
QUARANTINE = Table(
    "quarantine",
    "quarantined_at",
    (
        Column("quarantined_at", TIMESTAMP),
        Column("table_name", TEXT, nullable=True),
        Column("reason", TEXT),
        Column("payload", ColumnType.BYTES),
    ),
)
