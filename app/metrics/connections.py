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
