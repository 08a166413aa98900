from prometheus_client import Counter, Gauge, Histogram

FOLLOWED_ROWS = Counter(
    "kalshi_followed_rows_total",
    "Rows of gatherers' metadata and journals copied into production.",
    ["gatherer", "table"],
)
FOLLOW_ERRORS = Counter(
    "kalshi_follow_errors_total",
    "Rounds of copying a gatherer's metadata or journal that failed; each is tried again.",
    ["gatherer", "what"],
)
FOLLOWED_TIMESTAMP = Gauge(
    "kalshi_followed_timestamp_seconds",
    "When a gatherer's metadata or journal was last read to its end.",
    ["gatherer", "what"],
)
UNKNOWN_MARKETS = Counter(
    "kalshi_unknown_markets_total",
    "Markets that were recorded without any gatherer knowing them, by what REST said of them.",
    ["outcome"],
)
KNOWN_UNTIL_TIMESTAMP = Gauge(
    "kalshi_coverage_known_until_timestamp_seconds",
    "Up to when it is known what was heard: everything received before is in production, or given up.",
)
BEHIND_SECONDS = Gauge(
    "kalshi_coverage_behind_seconds", "Length of the hours that are over and of which more is known than was judged."
)
JUDGE_SECONDS = Histogram("kalshi_coverage_judge_seconds", "How long judging an hour took.")
HOLE_SECONDS = Gauge(
    "kalshi_coverage_hole_seconds",
    "Time of the last 24 hours in which nobody heard a channel of the whole exchange, unrepaired.",
    ["channel"],
)
HOLE_MARKETS = Gauge("kalshi_coverage_hole_markets", "Markets with a hole in their book in the last 24 hours.")
REPAIRED_TRADES = Counter(
    "kalshi_repaired_trades_total",
    "Trades that no gatherer had, fetched by REST, by what told that they were missing.",
    ["reason"],
)
REPAIRED_INTERVALS = Counter(
    "kalshi_repaired_intervals_total", "Times of which trades were asked for by REST.", ["reason"]
)
AUDITED_BOOKS = Counter(
    "kalshi_audited_books_total",
    "Books rebuilt from a snapshot and changes and compared with the next snapshot, by the outcome.",
    ["verdict"],
)
OPEN_FINDINGS = Gauge(
    "kalshi_audit_open_findings",
    "Books of the last 30 days that could not be rebuilt exactly, and no hole explains it.",
)
AUDITED_TIMESTAMP = Gauge(
    "kalshi_audited_timestamp_seconds", "When the snapshot was received up to which books have been compared."
)
