"""Metrics of the lake: what was written to it, and how far it is behind."""

from prometheus_client import Counter, Gauge, Histogram

TABLE = ["table"]

EXPORTED_ROWS = Counter(
    "kalshi_lake_exported_rows", "Rows written to the lake, also those of hours written again.", TABLE
)
EXPORTED_BYTES = Counter("kalshi_lake_exported_bytes", "Size of the Parquet files written to the lake.", TABLE)
EXPORT_SECONDS = Histogram(
    "kalshi_lake_export_seconds",
    "How long it took to write one hour of a table to the lake.",
    TABLE,
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300),
)
VERIFIED_ROWS = Counter("kalshi_lake_verified_rows", "Rows that were read back and equal the database's.", TABLE)
DIFFERENT_FILES = Counter(
    "kalshi_lake_different_files",
    "Files that differed from their manifest or the database when they were read back; they are written again.",
    TABLE,
)
FAILURES = Counter("kalshi_lake_failures", "Hours, days of candles and rounds that failed; they are retried later.")
FAILING_HOURS = Gauge("kalshi_lake_failing_hours", "Hours whose last attempt to write or read back failed.", TABLE)
IS_BOUND = Gauge(
    "kalshi_lake_is_bound",
    "1: the database drops what the lake of this exporter or archiver has verified; 0: it is bound to another lake.",
)
BEHIND_SECONDS = Gauge(
    "kalshi_lake_behind_seconds",
    "Age of the oldest hour that is not in the lake or not verified; 0: there is none.",
    TABLE,
)
