"""How gatherers' rows become events, in SQL that DuckDB and Spark both run as it stands, over views of raw/ by table.

It is written apart from what the deduplicator does, so that each can be held against the other. Of copies with the same
identity it keeps one; the earliest received_at among them. Copies whose times differ are found by the rest of their
identity: within the window in which the deduplicator looks for them. Of lifecycle messages more is to be known than SQL
of both can say: app/lake/announcements.py.
"""

from datetime import timedelta

# How much of the hours beside it is looked at to merge an hour: at least twice the window, for what comes in from there
# may be a copy of what is further away.
BESIDE = {
    "orderbook_deltas": timedelta(minutes=5),
    "trades": timedelta(hours=1),
    "tickers": timedelta(minutes=5),
    "orderbook_snapshots": timedelta(minutes=5),
    "lifecycle_events": timedelta(hours=1),
}

# What carried no time takes that of its nearest copy which did; if none did, that of the earliest. Such rows are few,
# and nothing is looked for but for them.
TIMED = """
WITH untimed AS (
    SELECT DISTINCT {identity}, exchange_ts, ts_missing FROM {table} WHERE ts_missing {sought}
),
candidates AS (
    SELECT
        {of_untimed}, untimed.exchange_ts, untimed.ts_missing, candidate.exchange_ts AS best_ts, row_number() OVER (
            PARTITION BY {of_untimed}, untimed.exchange_ts
            ORDER BY
                CASE WHEN candidate.ts_missing THEN 1 ELSE 0 END,
                CASE WHEN NOT candidate.ts_missing THEN greatest(
                    candidate.exchange_ts - untimed.exchange_ts, untimed.exchange_ts - candidate.exchange_ts
                ) END,
                candidate.exchange_ts
        ) AS place
    FROM untimed JOIN {table} AS candidate ON {same}
        AND candidate.exchange_ts BETWEEN untimed.exchange_ts - {window} AND untimed.exchange_ts + {window}
),
best AS (
    SELECT {identity}, exchange_ts, ts_missing, best_ts FROM candidates WHERE place = 1
),
timed AS (
    SELECT coalesce(best_ts, exchange_ts) AS happened_at, {table}.*
    FROM {table} LEFT JOIN best USING ({identity}, exchange_ts, ts_missing)
)
"""


def timed(table: str, identity: tuple[str, ...], window: str, sought: str = "") -> str:
    return TIMED.format(
        table=table,
        identity=", ".join(identity),
        of_untimed=", ".join(f"untimed.{name}" for name in identity),
        same=" AND ".join(f"candidate.{name} = untimed.{name}" for name in identity),
        window=window,
        sought=sought,
    )


SAME_EVENT = {
    # Of changes without a clock too, each is its own.
    "orderbook_deltas": timed(
        "orderbook_deltas",
        ("ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
        "INTERVAL '120' SECOND",
        "AND clock >= 0",
    )
    + """
SELECT
    happened_at AS exchange_ts, min(received_at) AS received_at, clock, delta_e2, price_e6, nth, yes_side,
    min(CASE WHEN after_gap THEN 1 ELSE 0 END) = 1 AS after_gap,
    min(CASE WHEN ts_missing THEN 1 ELSE 0 END) = 1 AS ts_missing, ticker
FROM timed GROUP BY happened_at, clock, delta_e2, price_e6, nth, yes_side, ticker
""",
    # A time that is no whole second is the finer one, and of two the earlier is nearer. Where copies differ in what
    # they say, it is what the stream said, and of several such versions the least.
    "trades": """
WITH told AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY trade_id
            ORDER BY
                CASE WHEN from_rest THEN 1 ELSE 0 END, yes_price_e6, size_e2, CASE WHEN taker_yes THEN 1 ELSE 0 END
        ) AS told_place
    FROM trades
),
placed AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY trade_id
            ORDER BY
                CASE WHEN exchange_ts = date_trunc('second', exchange_ts) THEN 1 ELSE 0 END, exchange_ts, received_at
        ) AS place,
        min(received_at) OVER (PARTITION BY trade_id) AS first_received_at,
        min(CASE WHEN from_rest THEN 1 ELSE 0 END) OVER (PARTITION BY trade_id) AS rest_alone,
        max(CASE WHEN is_block_trade THEN 1 WHEN NOT is_block_trade THEN 0 END) OVER (PARTITION BY trade_id) AS block,
        max(CASE WHEN told_place = 1 THEN size_e2 END) OVER (PARTITION BY trade_id) AS told_size_e2,
        max(CASE WHEN told_place = 1 THEN yes_price_e6 END) OVER (PARTITION BY trade_id) AS told_price_e6,
        max(CASE WHEN told_place = 1 AND taker_yes THEN 1 ELSE 0 END) OVER (PARTITION BY trade_id) AS told_yes
    FROM told
)
SELECT
    exchange_ts, first_received_at AS received_at, told_size_e2 AS size_e2, told_price_e6 AS yes_price_e6,
    told_yes = 1 AS taker_yes, block = 1 AS is_block_trade,
    rest_alone = 1 AS from_rest, ticker, trade_id
FROM placed WHERE place = 1
""",
    # The digest is of all that a quote says.
    "tickers": timed("tickers", ("ticker", "digest", "nth"), "INTERVAL '1' SECOND")
    + """,
placed AS (
    SELECT
        *, min(received_at) OVER (PARTITION BY happened_at, ticker, digest, nth) AS first_received_at,
        row_number() OVER (
            PARTITION BY happened_at, ticker, digest, nth ORDER BY CASE WHEN ts_missing THEN 1 ELSE 0 END, received_at
        ) AS place
    FROM timed
)
SELECT
    happened_at AS exchange_ts, first_received_at AS received_at, digest, yes_bid_size_e2, yes_ask_size_e2,
    last_trade_size_e2, volume_e2, open_interest_e2, dollar_volume, dollar_open_interest, price_e6, yes_bid_e6,
    yes_ask_e6, nth, ts_missing, ticker
FROM placed WHERE place = 1
""",
    # Books are samples: two different ones of the same instant are kept a microsecond apart, by the deduplicator in the
    # order in which they came to it, here in that of their digests.
    "orderbook_snapshots": """
WITH placed AS (
    SELECT
        *, row_number() OVER (
            PARTITION BY snapshot_ts, ticker, source, levels_digest
            ORDER BY CASE WHEN yes_prices_e6 IS NULL THEN 1 ELSE 0 END, received_at
        ) AS place
    FROM orderbook_snapshots
),
apart AS (
    SELECT
        *, row_number() OVER (PARTITION BY snapshot_ts, ticker, source ORDER BY levels_digest) - 1 AS microseconds
    FROM placed WHERE place = 1
)
SELECT
    snapshot_ts + microseconds * INTERVAL '0.000001' SECOND AS snapshot_ts, received_at, clock, levels_digest, ticker,
    source, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
FROM apart
""",
}
