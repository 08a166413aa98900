"""What is known of the databases' chunks after each look at them."""

from prometheus_client import Gauge

MAINTAINED_AT = Gauge(
    "kalshi_maintained_timestamp_seconds",
    "When this process last finished a round of making, compressing and dropping chunks.",
    ["database"],
)
CHUNKS_BYTES = Gauge("kalshi_chunks_bytes", "Disk that the chunks took at the end of that round.", ["database"])
