from prometheus_client import Counter, Gauge, Histogram, Info

BUILD = Info("kalshi_build", "Which version runs, and on which Python.")
HUB_LAG = Histogram(
    "kalshi_hub_lag_seconds",
    "How late a greenlet that is due gets its turn. Every socket waits as long.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COMPONENT_HALTED = Gauge(
    "kalshi_component_halted",
    "1 while the exchange refuses a part access: it tries again every five minutes. The log says what to do.",
    ["component"],
)
HANG_UPS = Counter(
    "kalshi_ops_hang_ups_total",
    "Clients of the ops port that were cut off: slow or idle for too long, or too many that did not ask.",
    ["cause"],
)
