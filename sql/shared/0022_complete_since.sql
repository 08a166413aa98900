-- Since when a table has every row, up to a moment: rows from before may be missing.
CREATE FUNCTION complete_since(the_table TEXT, moment TIMESTAMPTZ) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT dropped_through FROM chunked_tables WHERE table_name = the_table
$$;

-- As it was, but for where a base may be.
CREATE OR REPLACE FUNCTION order_book(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (side TEXT, price NUMERIC, contracts NUMERIC, price_e6 INTEGER, size_e2 BIGINT)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    base orderbook_snapshots;
    -- A snapshot is stamped when it was sent, a change when it happened: a change it lacks may be stamped a bit earlier.
    stamp_tolerance CONSTANT INTERVAL := '1 minute';
    -- The changes after an older snapshot are not all here any more.
    oldest_base CONSTANT TIMESTAMPTZ := complete_since('orderbook_deltas', at) + stamp_tolerance;
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
