-- An exchange may stop sending clocks. The books that it sends without them are then the last ones for certain: before,
-- the last one with a clock was taken all the same, from which a hole may have lain since.

-- The last full snapshot of the stream before a time; a polled one, which may be of any moment of its request, only where
-- the stream has sent none. kalshi_data/order_book.py says the same.
CREATE OR REPLACE FUNCTION last_snapshot(
    the_ticker TEXT, after TIMESTAMPTZ, until TIMESTAMPTZ
) RETURNS orderbook_snapshots
LANGUAGE plpgsql STABLE AS $$
DECLARE
    last orderbook_snapshots;
BEGIN
    SELECT s.* INTO last FROM orderbook_snapshots AS s
    WHERE s.ticker = the_ticker AND s.snapshot_ts >= after AND s.snapshot_ts <= until
        AND s.source = 'ws' AND s.yes_prices_e6 IS NOT NULL
    ORDER BY s.snapshot_ts DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT s.* INTO last FROM orderbook_snapshots AS s
        WHERE s.ticker = the_ticker AND s.snapshot_ts >= after AND s.snapshot_ts <= until AND s.yes_prices_e6 IS NOT NULL
        ORDER BY s.snapshot_ts DESC LIMIT 1;
    END IF;
    RETURN last;
END
$$;
