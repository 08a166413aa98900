-- The last snapshot of the stream up to which a market's changes are compared with snapshots. NULL: there is none. The
-- empty book that the exchange shows when a market closes is left out: no change announces it, so it proves none.
CREATE OR REPLACE FUNCTION audited_until(the_ticker TEXT) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT s.snapshot_ts FROM orderbook_snapshots AS s
    WHERE s.ticker = the_ticker AND s.source = 'ws' AND s.clock >= 0
        AND s.ingest_id <= (SELECT p.ingest_id FROM audit_progress AS p)
        AND NOT (
            coalesce(cardinality(s.yes_prices_e6) + cardinality(s.no_prices_e6), 1) = 0
            AND EXISTS (
                SELECT FROM markets AS m
                WHERE m.ticker = the_ticker AND m.close_time <= s.snapshot_ts + INTERVAL '10 seconds'
            )
        )
    ORDER BY s.snapshot_ts DESC LIMIT 1
$$;
