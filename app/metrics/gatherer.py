"""Metrics of a gatherer: its connections, its writers, and its market registry."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("kalshi_connections", "Sockets, by role and state.", ["role", "state"])
MESSAGES = Counter("kalshi_messages_total", "Messages received, by role of the socket.", ["role"])
MESSAGE_AGE = Histogram(
    "kalshi_message_age_seconds",
    "Age of messages when they are read: local clock minus the exchange's time, for one message in each batch.",
    ["role"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
GAPS = Counter(
    "kalshi_gaps_total", "Intervals in which a socket did not receive everything, by cause.", ["role", "cause"]
)
RECONNECTS = Counter("kalshi_reconnects_total", "Sockets opened again after a connection was closed or lost.", ["role"])
CONNECT_FAILURES = Counter("kalshi_connect_failures_total", "Failed attempts to open a socket.", ["role"])
REPEATED = Counter(
    "kalshi_repeated_messages_total", "Messages received twice in a row, byte by byte; they count once.", ["role"]
)
UNREADABLE = Counter(
    "kalshi_unreadable_frames_total", "Frames that could not be parsed and are in quarantine.", ["role"]
)
COMMANDS = Counter("kalshi_commands_total", "Commands sent to the exchange.", ["command"])
UNANSWERED_COMMANDS = Counter(
    "kalshi_unanswered_commands_total", "Commands repeated because no answer came in time.", ["command"]
)
REFUSED_COMMANDS = Counter(
    "kalshi_refused_commands_total", "Errors that the exchange sent, by code; some do not answer a command.", ["code"]
)
CHANNEL_CONNECTIONS = Gauge(
    "kalshi_channel_connections", "Sockets that receive a channel of the whole exchange, by channel.", ["channel"]
)
MARKETS_WANTED = Gauge("kalshi_book_markets_wanted", "Markets whose order books are to be recorded.")
MARKETS_HEARD = Gauge("kalshi_book_markets_heard", "Markets whose order books are received, from a snapshot on.")
MARKETS_TURNED_AWAY = Gauge(
    "kalshi_book_markets_turned_away", "Markets for which no socket has room; they are not recorded."
)
MARKETS_MOVED = Counter("kalshi_book_markets_moved_total", "Markets moved to another socket.")


# Recorded rows, and rows that wait to be written.

TABLE = ["table"]

ROWS = Counter("kalshi_rows_stored", "Rows committed to their database, new ones and those that changed.", TABLE)
CONFLICTING = Counter("kalshi_rows_conflicting", "Rows that their table already had; normal after a restart.", TABLE)
QUARANTINED = Counter(
    "kalshi_rows_quarantined", "Rows that their table refused and that are in quarantine; inspect them.", TABLE
)
SPOOLED = Counter("kalshi_rows_spooled", "Rows written to the spool because their database was slow or down.", TABLE)
REPLAYED = Counter("kalshi_rows_replayed", "Rows replayed from the spool into the database.", TABLE)
WRITE_ERRORS = Counter("kalshi_write_errors", "Batches that a database did not accept; they are retried.", TABLE)
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
SPOOL_BYTES = Gauge("kalshi_spool_bytes", "Disk space of spooled rows that wait for their database.", TABLE)
SPOOL_REFUSES = Gauge(
    "kalshi_spool_refuses",
    "1 while the disk accepts no more rows, so that rows wait in memory and sockets are not read.",
    TABLE,
)
DAMAGED_FILES = Gauge("kalshi_spool_damaged_files", "Damaged spool files that were kept for inspection.", TABLE)
LOSSES = Gauge(
    "kalshi_spool_loss_files",
    "Files with losses (damaged or refused rows) that the journal does not record yet.",
)


MARKETS = Gauge("kalshi_registry_markets", "Known markets, by status.", ["status"])
ACTIVE = Gauge("kalshi_exchange_active_shards", "Shards of the exchange that are active. 0: it is closed.")
TRADING = Gauge("kalshi_exchange_trading_shards", "Shards of the exchange on which trading is not halted.")
SYNCED = Gauge(
    "kalshi_registry_synced_timestamp_seconds",
    "When each was last read completely: markets, market_updates, events, exchange_status.",
    ["what"],
)
OBJECTS = Counter("kalshi_registry_objects_total", "REST objects that were read, by table.", ["table"])
REGISTRY_ROWS = Counter("kalshi_registry_rows_total", "New or changed rows written to the database.", ["table"])
REGISTRY_QUARANTINED = Counter(
    "kalshi_registry_quarantined_objects_total",
    "REST objects that could not be parsed and are in quarantine.",
    ["table"],
)
UNREADABLE_QUOTES = Counter(
    "kalshi_registry_unreadable_quotes_total",
    "REST objects whose prices or volume could not be parsed; their markets are recorded anyway.",
)
CHANGES = Counter("kalshi_registry_changes_total", "Changes of markets published to subscribers.", ["event_type"])
ANNOUNCEMENTS = Counter("kalshi_registry_announcements_total", "Lifecycle messages received, on all connections.")
WAITING = Gauge("kalshi_registry_waiting_tickers", "Tickers that wait to be requested by REST, by kind.", ["kind"])
LEFT = Counter(
    "kalshi_registry_left_tickers_total",
    "Tickers left for the next full reconciliation, because REST did not list them or they were too many, by kind.",
    ["kind"],
)
FAILED_ROUNDS = Counter(
    "kalshi_registry_failed_rounds_total", "Failed rounds, by part; they are repeated.", ["component"]
)
