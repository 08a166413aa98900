SELECT json_object_agg(table_name, coalesce(last, 0))
FROM (
    SELECT 'orderbook_deltas' AS table_name, max(ingest_id) AS last FROM orderbook_deltas
    UNION ALL SELECT 'trades', max(ingest_id) FROM trades
    UNION ALL SELECT 'tickers', max(ingest_id) FROM tickers
    UNION ALL SELECT 'orderbook_snapshots', max(ingest_id) FROM orderbook_snapshots
    UNION ALL SELECT 'lifecycle_events', max(ingest_id) FROM lifecycle_events
) AS written
