"""What is recorded, and what waits to be."""

from prometheus_client import Counter, Gauge, Histogram

TABLE = ["table"]

ROWS = Counter("kalshi_rows_stored", "Rows committed to their database, new ones and those that changed.", TABLE)
CONFLICTING = Counter("kalshi_rows_conflicting", "Rows that their table had already; normal after a restart.", TABLE)
QUARANTINED = Counter("kalshi_rows_quarantined", "Rows that their table refused; somebody should look at them.", TABLE)
SPOOLED = Counter("kalshi_rows_spooled", "Rows that went to disk since their database was slow or away.", TABLE)
REPLAYED = Counter("kalshi_rows_replayed", "Rows that were stored from disk, when their database was back.", TABLE)
WRITE_ERRORS = Counter("kalshi_write_errors", "Batches that a database did not take; they are tried again.", TABLE)
BATCH_ROWS = Histogram(
    "kalshi_batch_rows", "Rows written at once.", TABLE, buckets=(1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000)
)
BATCH_SECONDS = Histogram(
    "kalshi_batch_seconds",
    "Time from the start of a batch to its commit.",
    TABLE,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
BUFFER_ROWS = Gauge("kalshi_buffer_rows", "Rows in memory, not durable yet.", TABLE)
SPOOL_BYTES = Gauge("kalshi_spool_bytes", "Disk that rows take which wait for their database.", TABLE)
SPOOL_REFUSES = Gauge(
    "kalshi_spool_refuses", "1 while the disk takes no more rows, so that they wait in memory and sockets wait.", TABLE
)
DAMAGED_FILES = Gauge(
    "kalshi_spool_damaged_files", "Files of rows that could not be read in full and were kept for a person.", TABLE
)
LOSSES = Gauge(
    "kalshi_spool_loss_files",
    "Files that tell of lost rows, damaged or refused ones, of which the journal does not yet.",
)
