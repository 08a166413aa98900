"""Metrics of a gatherer: its connections, its writers, and its market registry."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("kalshi_connections", "Sockets, by what they listen to and what they are doing.", ["role", "state"])
MESSAGES = Counter("kalshi_messages_total", "Messages that sockets gave, by what they listen to.", ["role"])
MESSAGE_AGE = Histogram(
    "kalshi_message_age_seconds",
    "Our clock at the reading of a message less the exchange's time in it, of one message in each batch.",
    ["role"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
GAPS = Counter("kalshi_gaps_total", "Times in which a socket did not hear all, by cause.", ["role", "cause"])
RECONNECTS = Counter("kalshi_reconnects_total", "Sockets that were opened again after they had ended.", ["role"])
CONNECT_FAILURES = Counter("kalshi_connect_failures_total", "Attempts to open a socket that failed.", ["role"])
REPEATED = Counter(
    "kalshi_repeated_messages_total", "Messages that came twice in a row, byte by byte, and count once.", ["role"]
)
UNREADABLE = Counter("kalshi_unreadable_frames_total", "Frames that nobody understood: in quarantine.", ["role"])
COMMANDS = Counter("kalshi_commands_total", "Commands given to the exchange.", ["command"])
UNANSWERED_COMMANDS = Counter(
    "kalshi_unanswered_commands_total", "Commands that were given again, since no answer came in time.", ["command"]
)
REFUSED_COMMANDS = Counter(
    "kalshi_refused_commands_total", "Errors that the exchange sent, by its code; some answer no command.", ["code"]
)
CHANNEL_CONNECTIONS = Gauge(
    "kalshi_channel_connections", "Sockets that hear a channel of the whole exchange, by channel.", ["channel"]
)
MARKETS_WANTED = Gauge("kalshi_book_markets_wanted", "Markets whose order books are to be recorded.")
MARKETS_HEARD = Gauge("kalshi_book_markets_heard", "Markets whose order books are followed from a snapshot on.")
MARKETS_TURNED_AWAY = Gauge("kalshi_book_markets_turned_away", "Markets that no socket has room for: not recorded.")
MARKETS_MOVED = Counter("kalshi_book_markets_moved_total", "Markets given to another socket than they had.")


# Recorded rows, and rows that wait to be written.

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
REGISTRY_ROWS = Counter("kalshi_registry_rows_total", "Rows given to the database, being new or changed.", ["table"])
REGISTRY_QUARANTINED = Counter(
    "kalshi_registry_quarantined_objects_total",
    "Objects of REST that could not be read and were kept as they came.",
    ["table"],
)
UNREADABLE_QUOTES = Counter(
    "kalshi_registry_unreadable_quotes_total",
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
