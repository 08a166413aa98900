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
    "Sampled events: those of one second in each minute in which all gatherers can be reached.",
    ("table",),
)
SAMPLED_ROWS_ALONE = Counter(
    "kalshi_merge_sampled_rows_alone_total",
    "Of the sampled events, those that only this gatherer has.",
    ("gatherer", "table"),
)
DIFFERING_COPIES = Counter(
    "kalshi_merge_differing_copies_total",
    "Copies of trades that differ in price, size or side from the one in production; both are in differing_trades.",
)
ROWS_QUARANTINED = Counter("kalshi_merge_rows_quarantined_total", "Rows that production refuses.", ("table",))
ROUND_SECONDS = Histogram(
    "kalshi_merge_round_seconds",
    "Time of a round from staging to commit.",
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
    "How often a gatherer's database was found replaced or restored, and was read from its beginning.",
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
    "Failed rounds of copying a gatherer's metadata or journal; each is retried.",
    ["gatherer", "what"],
)
FOLLOWED_TIMESTAMP = Gauge(
    "kalshi_followed_timestamp_seconds",
    "When a gatherer's metadata or journal was last read to its end.",
    ["gatherer", "what"],
)
UNKNOWN_MARKETS = Counter(
    "kalshi_unknown_markets_total",
    "Markets that were recorded although no gatherer knew them, by REST's answer about them.",
    ["outcome"],
)
KNOWN_UNTIL_TIMESTAMP = Gauge(
    "kalshi_coverage_known_until_timestamp_seconds",
    "Time up to which completeness is known: everything received before is in production, or given up.",
)
BEHIND_SECONDS = Gauge(
    "kalshi_coverage_behind_seconds", "Total length of finished hours whose evidence is newer than their judgement."
)
JUDGE_SECONDS = Histogram("kalshi_coverage_judge_seconds", "Time to compute the coverage of an hour.")
HOLE_SECONDS = Gauge(
    "kalshi_coverage_hole_seconds",
    "Time within the last 24 hours in which no gatherer received a channel of the whole exchange, unrepaired.",
    ["channel"],
)
HOLE_MARKETS = Gauge("kalshi_coverage_hole_markets", "Markets with a hole in their book in the last 24 hours.")
REPAIRED_TRADES = Counter(
    "kalshi_repaired_trades_total",
    "Trades that no gatherer had, fetched by REST, by the reason why they were known to be missing.",
    ["reason"],
)
REPAIRED_INTERVALS = Counter(
    "kalshi_repaired_intervals_total", "Intervals whose trades were requested by REST.", ["reason"]
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
AUDITED_QUOTES = Counter(
    "kalshi_audited_quotes_total",
    "Quotes compared with the book that recorded changes lead to, by the outcome.",
    ["verdict"],
)
PASSED_QUOTES = Counter(
    "kalshi_audit_passed_quotes_total",
    "Quotes not compared: they came late, the market has a finding already, or more came than a round compares.",
)
QUOTES_AUDITED_TIMESTAMP = Gauge(
    "kalshi_quotes_audited_timestamp_seconds", "Every quote received before then has been compared or passed."
)
