from prometheus_client import Counter, Gauge

MARKETS = Gauge("kalshi_registry_markets", "Markets that are known, by their status.", ["status"])
ACTIVE = Gauge("kalshi_exchange_active_shards", "Shards of the exchange that are active. 0: it is closed.")
TRADING = Gauge("kalshi_exchange_trading_shards", "Shards of the exchange on which trading is not halted.")
SYNCED = Gauge(
    "kalshi_registry_synced_timestamp_seconds",
    "When a look at all of them was last complete: markets, market_updates, events, exchange_status.",
    ["what"],
)
OBJECTS = Counter(
    "kalshi_registry_objects_total", "Objects that REST showed and that could be read, by their table.", ["table"]
)
ROWS = Counter("kalshi_registry_rows_total", "Rows given to the database, being new or changed.", ["table"])
QUARANTINED = Counter(
    "kalshi_registry_quarantined_objects_total",
    "Objects of REST that could not be read and were kept as they came.",
    ["table"],
)
UNREADABLE_QUOTES = Counter(
    "kalshi_registry_unreadable_objects_total",
    "Objects of REST whose prices or volume could not be read; their markets are followed all the same.",
)
CHANGES = Counter("kalshi_registry_changes_total", "Changes of markets that were told to others.", ["event_type"])
ANNOUNCEMENTS = Counter(
    "kalshi_registry_announcements_total", "Lifecycle messages heard, on all connections that carry them."
)
WAITING = Gauge("kalshi_registry_waiting_tickers", "Tickers that REST will be asked for, by kind.", ["kind"])
LEFT = Counter(
    "kalshi_registry_left_tickers_total",
    "Tickers that REST did not show, or that were too many, and that the next full walk will meet, by kind.",
    ["kind"],
)
FAILED_ROUNDS = Counter(
    "kalshi_registry_failed_rounds_total", "Rounds that ended in an error and are made again, by part.", ["component"]
)
