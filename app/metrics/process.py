"""Metrics of every process, of the admin service, and of database maintenance."""

from prometheus_client import Counter, Gauge, Histogram, Info

BUILD = Info("kalshi_build", "Version of the platform and of Python.")
HUB_LAG = Histogram(
    "kalshi_hub_lag_seconds",
    "Delay of the event loop: how late a greenlet that is due runs. Every socket waits as long.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COMPONENT_HALTED = Gauge(
    "kalshi_component_halted",
    "1 while the exchange refuses access to this component, which retries every five minutes at the latest. The log "
    "says what to do.",
    ["component"],
)
HANG_UPS = Counter(
    "kalshi_ops_hang_ups_total",
    "Clients of the ops port that were disconnected: too slow, idle for too long, or too many without a request.",
    ["cause"],
)


REQUEST_SECONDS = Histogram(
    "kalshi_admin_request_seconds",
    "Time from a request to the admin service to the start of its answer, by endpoint.",
    ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REQUESTS = Counter("kalshi_admin_requests_total", "Requests to the admin service, by class of the answer.", ["answer"])
REFUSED_REQUESTS = Counter(
    "kalshi_admin_refused_requests_total",
    "Requests that the admin service refused, by rule (see AdminRefuses in the runbook).",
    ["cause"],
)


# The databases' chunks, counted by each round of maintenance.

MAINTAINED_AT = Gauge(
    "kalshi_maintained_timestamp_seconds",
    "When this process last finished a round of maintenance of this database.",
    ["database"],
)
CHUNKS_BYTES = Gauge(
    "kalshi_chunks_bytes", "Disk space of the chunks at the end of the last round of maintenance.", ["database"]
)
ENDED_ROWS_DROPPED = Counter(
    "kalshi_ended_rows_dropped_total", "Ended markets and events deleted from a gatherer's database.", ["table"]
)
SACRIFICED_BYTES = Counter(
    "kalshi_archive_lost_bytes_total",
    "Size of a gatherer's chunks that its disk budget dropped before they were in the lake as received; production has "
    "their rows.",
)
