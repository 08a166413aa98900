-- For people: dollars and contracts as exact decimals, and the book at any moment.

CREATE SCHEMA readable;

CREATE FUNCTION readable.dollars(price_e6 BIGINT) RETURNS NUMERIC
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN price_e6 * 0.000001;

CREATE FUNCTION readable.contracts(size_e2 BIGINT) RETURNS NUMERIC
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN size_e2 * 0.01;

CREATE FUNCTION readable.side(yes_side BOOLEAN) RETURNS TEXT
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE WHEN yes_side THEN 'yes' ELSE 'no' END;

CREATE VIEW readable.orderbook_deltas AS
SELECT
    exchange_ts, ticker, readable.side(yes_side) AS side, readable.dollars(price_e6) AS price,
    readable.contracts(delta_e2) AS change, nullif(clock, -1) AS clock, nth, after_gap, ts_missing, received_at
FROM orderbook_deltas;

CREATE VIEW readable.trades AS
SELECT
    exchange_ts, ticker, trade_id, readable.dollars(yes_price_e6) AS yes_price,
    1 - readable.dollars(yes_price_e6) AS no_price, readable.contracts(size_e2) AS contracts,
    readable.side(taker_yes) AS taker_side, is_block_trade, received_at
FROM trades;

CREATE VIEW readable.tickers AS
SELECT
    exchange_ts, ticker, readable.dollars(price_e6) AS last_price,
    readable.dollars(yes_bid_e6) AS yes_bid, readable.contracts(yes_bid_size_e2) AS yes_bid_contracts,
    readable.dollars(yes_ask_e6) AS yes_ask, readable.contracts(yes_ask_size_e2) AS yes_ask_contracts,
    readable.contracts(last_trade_size_e2) AS last_trade_contracts, readable.contracts(volume_e2) AS volume,
    readable.contracts(open_interest_e2) AS open_interest, dollar_volume, dollar_open_interest, received_at
FROM tickers;

-- One row a level. A NO bid is also a YES ask at one dollar less its price.
CREATE VIEW readable.orderbook_snapshots AS
SELECT
    s.snapshot_ts, s.ticker, s.source, nullif(s.clock, -1) AS clock, level.side, readable.dollars(level.price_e6) AS price,
    CASE level.side WHEN 'no' THEN 1 - readable.dollars(level.price_e6) END AS yes_ask,
    readable.contracts(level.size_e2) AS contracts
FROM orderbook_snapshots AS s
CROSS JOIN LATERAL (
    SELECT 'yes' AS side, * FROM unnest(s.yes_prices_e6, s.yes_sizes_e2) AS u (price_e6, size_e2)
    UNION ALL
    SELECT 'no' AS side, * FROM unnest(s.no_prices_e6, s.no_sizes_e2) AS u (price_e6, size_e2)
) AS level;

CREATE VIEW readable.lifecycle_events AS
SELECT exchange_ts, ticker, event_type, payload, received_at FROM lifecycle_events;

-- The book of a market as the exchange had it at a moment: the last full snapshot before it, and every change since.
-- A snapshot that carries a clock says exactly which changes it holds, so the last such one is preferred; after one
-- without a clock, changes count by their time. Without a snapshot, or with changes since it dropped, there is no book.
CREATE FUNCTION order_book(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (side TEXT, price NUMERIC, contracts NUMERIC, price_e6 INTEGER, size_e2 BIGINT)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    base orderbook_snapshots;
    -- A snapshot is stamped when it was sent, a change when it happened: a change it lacks may be stamped a bit earlier.
    stamp_tolerance CONSTANT INTERVAL := '1 minute';
    -- The changes after an older snapshot are not all here any more.
    oldest_base CONSTANT TIMESTAMPTZ :=
        dropped_through + stamp_tolerance FROM chunked_tables WHERE table_name = 'orderbook_deltas';
BEGIN
    SELECT s.* INTO base FROM orderbook_snapshots AS s
    WHERE s.ticker = the_ticker AND s.snapshot_ts BETWEEN oldest_base AND at
        AND s.clock >= 0 AND s.yes_prices_e6 IS NOT NULL
    ORDER BY s.snapshot_ts DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT s.* INTO base FROM orderbook_snapshots AS s
        WHERE s.ticker = the_ticker AND s.snapshot_ts BETWEEN oldest_base AND at AND s.yes_prices_e6 IS NOT NULL
        ORDER BY s.snapshot_ts DESC LIMIT 1;
    END IF;
    RETURN QUERY
    SELECT
        readable.side(level.yes_side), readable.dollars(level.price_e6), readable.contracts(sum(level.size_e2)::BIGINT),
        level.price_e6, sum(level.size_e2)::BIGINT
    FROM (
        SELECT TRUE AS yes_side, u.price_e6, u.size_e2
        FROM unnest(base.yes_prices_e6, base.yes_sizes_e2) AS u (price_e6, size_e2)
        UNION ALL
        SELECT FALSE, u.price_e6, u.size_e2
        FROM unnest(base.no_prices_e6, base.no_sizes_e2) AS u (price_e6, size_e2)
        UNION ALL
        SELECT d.yes_side, d.price_e6, d.delta_e2
        FROM orderbook_deltas AS d
        WHERE d.ticker = the_ticker AND d.exchange_ts <= at AND d.exchange_ts > base.snapshot_ts - stamp_tolerance
            AND CASE
                WHEN base.clock >= 0 AND d.clock >= 0 THEN d.clock > base.clock
                ELSE d.exchange_ts > base.snapshot_ts
            END
    ) AS level
    GROUP BY level.yes_side, level.price_e6
    HAVING sum(level.size_e2) > 0
    ORDER BY level.yes_side DESC, level.price_e6;
END
$$;

-- The best of that book. An ask is the other side's best bid, from the other end of the dollar; NULL: nobody bids.
CREATE FUNCTION best_prices(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (yes_bid NUMERIC, yes_ask NUMERIC, no_bid NUMERIC, no_ask NUMERIC)
LANGUAGE sql STABLE AS $$
    SELECT best.yes, 1 - best.no, best.no, 1 - best.yes
    FROM (
        SELECT max(price) FILTER (WHERE side = 'yes') AS yes, max(price) FILTER (WHERE side = 'no') AS no
        FROM order_book(the_ticker, at)
    ) AS best;
$$;
