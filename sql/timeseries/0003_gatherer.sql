-- squawk-ignore-file adding-required-field
-- A gatherer's own database: records with their lineage, in small chunks, read by the deduplicator in ingest_id's order.

ALTER TABLE orderbook_deltas
ADD COLUMN conn SMALLINT NOT NULL, ADD COLUMN sid INTEGER NOT NULL, ADD COLUMN seq BIGINT NOT NULL;
ALTER TABLE trades ADD COLUMN conn SMALLINT NOT NULL, ADD COLUMN sid INTEGER NOT NULL, ADD COLUMN seq BIGINT NOT NULL;
ALTER TABLE tickers ADD COLUMN conn SMALLINT NOT NULL, ADD COLUMN sid INTEGER NOT NULL;
ALTER TABLE orderbook_snapshots
ADD COLUMN conn SMALLINT NOT NULL, ADD COLUMN sid INTEGER NOT NULL, ADD COLUMN seq BIGINT NOT NULL;
ALTER TABLE lifecycle_events
ADD COLUMN conn SMALLINT NOT NULL, ADD COLUMN sid INTEGER NOT NULL, ADD COLUMN seq BIGINT NOT NULL;

SELECT keep_in_chunks(
    'orderbook_deltas', 'exchange_ts', '1 hour', '1 day', '7 days', 'exchange_ts, clock, yes_side, price_e6, delta_e2, nth'
);
SELECT keep_in_chunks('trades', 'exchange_ts', '24 hours', '1 day', '30 days', 'exchange_ts, trade_id');
SELECT keep_in_chunks('tickers', 'exchange_ts', '1 hour', '1 day', '7 days', 'exchange_ts, digest, nth');
SELECT keep_in_chunks('orderbook_snapshots', 'snapshot_ts', '1 hour', '1 day', '30 days', 'snapshot_ts, source');
SELECT keep_in_chunks(
    'lifecycle_events', 'exchange_ts', '1 hour', '1 day', '30 days', 'exchange_ts, event_type, digest, nth'
);

-- When this gatherer knows that it heard nothing, or not all.
CREATE TABLE gaps (
    gap_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ, -- NULL: still open
    conn SMALLINT NOT NULL,
    sid INTEGER NOT NULL,
    channel TEXT NOT NULL,
    cause TEXT NOT NULL,
    markets INTEGER NOT NULL
);

-- Up to where the deduplicator has this gatherer's rows: what lies beyond is not dropped.
CREATE TABLE confirmations (
    table_name TEXT PRIMARY KEY,
    ingest_id BIGINT NOT NULL,
    confirmed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
