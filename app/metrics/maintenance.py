"""What is known of the databases' chunks after each look at them."""

from prometheus_client import Counter, Gauge

MAINTAINED_AT = Gauge(
    "kalshi_maintained_timestamp_seconds",
    "When this process last finished a round of looking after this database.",
    ["database"],
)
CHUNKS_BYTES = Gauge("kalshi_chunks_bytes", "Disk that the chunks took at the end of that round.", ["database"])
ENDED_ROWS_DROPPED = Counter(
    "kalshi_ended_rows_dropped_total", "Ended markets and events that left a gatherer's database.", ["table"]
)
SACRIFICED_BYTES = Counter(
    "kalshi_archive_lost_bytes_total",
    "Size of a gatherer's chunks that its disk budget dropped before they were in the lake as received; production has "
    "their rows.",
)
