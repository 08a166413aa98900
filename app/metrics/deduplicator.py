"""Metrics of the deduplicator: merging, replication, coverage and audits."""

from prometheus_client import Counter, Gauge, Histogram

ROWS_READ = Counter(
    "kalshi_merge_rows_read_total", "Rows of a gatherer that are merged into production.", ("gatherer", "table")
)
ROWS_NEW = Counter("kalshi_merge_rows_new_total", "Rows that production did not have yet.", ("table",))
ROWS_KNOWN = Counter(
    "kalshi_merge_rows_known_total", "Rows that production had already, from another gatherer or the same.", ("table",)
)
SAMPLED_ROWS = Counter(
    "kalshi_merge_sampled_rows_total",
    "Events with a time of the exchange's, of one second in each minute in which all gatherers can be asked.",
    ("table",),
)
SAMPLED_ROWS_ALONE = Counter(
    "kalshi_merge_sampled_rows_alone_total",
    "Of these events, those that one gatherer has alone.",
    ("gatherer", "table"),
)
DIFFERING_COPIES = Counter(
    "kalshi_merge_differing_copies_total",
    "Copies of trades that say another price, size or side than the one in production; both are in differing_trades.",
)
ROWS_QUARANTINED = Counter("kalshi_merge_rows_quarantined_total", "Rows that production refuses.", ("table",))
ROUND_SECONDS = Histogram(
    "kalshi_merge_round_seconds",
    "How long a round took from staging to commit.",
    ("table",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LAG_SECONDS = Gauge(
    "kalshi_merge_lag_seconds",
    "Age of the row merged last, since its gatherer received it; 0 when there is nothing more to merge.",
    ("gatherer", "table", "shard"),
)
IS_READABLE = Gauge(
    "kalshi_merge_gatherer_active", "1: the gatherer's table is read; 0: it fails.", ("gatherer", "table")
)
STARTED_ANEW = Counter(
    "kalshi_merge_rereads_total",
    "How often a gatherer's database turned out to be another one, or an older state, and was read from its beginning.",
    ("gatherer", "table"),
)
FAILED_ROUNDS = Counter("kalshi_merge_failed_rounds_total", "Rounds that failed and are repeated.", ("table",))
HELD_SHARDS = Gauge("kalshi_merge_held_shards", "Shards of tables that this process merges.")
MEMBERS = Gauge("kalshi_merge_members", "Deduplicator processes that share the work.")


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
