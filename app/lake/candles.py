"""The candles' query, in SQL that DuckDB and Spark both run unchanged, over the views `trades` and `tickers`.

It uses integers throughout. Each engine defines `floor_div` in its own SQL (app/lake/engines.py). The views may have
several days.
"""

from kalshi_data.layout import CANDLES as CANDLES_TABLE
from kalshi_data.layout import IDENTITY
from kalshi_data.schema import schema_of

INTERVALS = {"1m": "minute", "1h": "hour", "1d": "day"}
ORDER = IDENTITY[CANDLES_TABLE]

# Exchange times have milliseconds. Within one, trades are ordered by the time received. Trades received together are
# ordered as one order takes several levels, the best first: YES at rising prices, NO at falling prices of YES.
CANDLES = """
WITH traded AS (
    SELECT
        ticker, yes_price_e6, size_e2, start_ts,
        row_number() OVER (
            PARTITION BY ticker, start_ts ORDER BY exchange_ts, received_at, badness, trade_id
        ) AS place,
        row_number() OVER (
            PARTITION BY ticker, start_ts ORDER BY exchange_ts DESC, received_at DESC, badness DESC, trade_id DESC
        ) AS place_from_end
    FROM (
        SELECT
            *, date_trunc('{unit}', exchange_ts) AS start_ts,
            CASE WHEN taker_yes THEN yes_price_e6 ELSE -yes_price_e6 END AS badness
        FROM trades
    ) AS placed
),
candles AS (
    SELECT
        ticker, start_ts,
        max(CASE WHEN place = 1 THEN yes_price_e6 END) AS open_e6,
        max(yes_price_e6) AS high_e6,
        min(yes_price_e6) AS low_e6,
        max(CASE WHEN place_from_end = 1 THEN yes_price_e6 END) AS close_e6,
        CAST(sum(size_e2) AS BIGINT) AS volume_e2,
        CAST(count(*) AS BIGINT) AS trades,
        CAST(sum(CAST(yes_price_e6 AS BIGINT) * size_e2) AS BIGINT) AS notional_e8
    FROM traded GROUP BY ticker, start_ts
),
quoted AS (
    SELECT
        ticker, yes_bid_e6, yes_ask_e6, date_trunc('{unit}', exchange_ts) AS start_ts,
        row_number() OVER (
            PARTITION BY ticker, date_trunc('{unit}', exchange_ts)
            ORDER BY exchange_ts DESC, received_at DESC, digest DESC, nth DESC
        ) AS place_from_end
    FROM tickers
),
quotes AS (
    SELECT
        ticker, start_ts, yes_bid_e6, yes_ask_e6, date_trunc('day', start_ts) AS day,
        row_number() OVER (PARTITION BY ticker, date_trunc('day', start_ts) ORDER BY start_ts) AS number
    FROM quoted WHERE place_from_end = 1
),
-- The last quote of an interval, or of the one before it that had any on that day.
valid AS (
    SELECT
        ticker, start_ts, is_quote, sum(is_quote) OVER (
            PARTITION BY ticker, date_trunc('day', start_ts)
            ORDER BY start_ts, is_quote DESC ROWS UNBOUNDED PRECEDING
        ) AS number
    FROM (
        SELECT ticker, start_ts, 1 AS is_quote FROM quotes UNION ALL SELECT ticker, start_ts, 0 AS is_quote FROM candles
    ) AS marks
)
SELECT
    c.ticker, c.start_ts, c.open_e6, c.high_e6, c.low_e6, c.close_e6, c.volume_e2, c.trades, c.notional_e8,
    floor_div(c.notional_e8, c.volume_e2) AS vwap_e6, q.yes_bid_e6, q.yes_ask_e6
FROM candles AS c
JOIN valid AS v ON v.ticker = c.ticker AND v.start_ts = c.start_ts AND v.is_quote = 0
LEFT JOIN quotes AS q
    ON q.ticker = v.ticker AND q.day = date_trunc('day', v.start_ts) AND q.number = v.number
"""

SCHEMA = schema_of(CANDLES_TABLE)


def candles_query(interval: str) -> str:
    return CANDLES.format(unit=INTERVALS[interval])
