-- squawk-ignore-file require-concurrent-index-creation, adding-field-with-default
-- Production: every event once, by ticker and time, and how complete it is.

CREATE INDEX orderbook_deltas_ticker ON orderbook_deltas (ticker, exchange_ts);
CREATE INDEX trades_ticker ON trades (ticker, exchange_ts);
CREATE INDEX tickers_ticker ON tickers (ticker, exchange_ts);
CREATE INDEX orderbook_snapshots_ticker ON orderbook_snapshots (ticker, snapshot_ts);
CREATE INDEX lifecycle_events_ticker ON lifecycle_events (ticker, exchange_ts);

SELECT keep_in_chunks(
    'orderbook_deltas', 'exchange_ts', '24 hours', '7 days', '90 days',
    'exchange_ts, clock, yes_side, price_e6, delta_e2, nth'
);
SELECT keep_in_chunks('trades', 'exchange_ts', '24 hours', '7 days', NULL, 'exchange_ts, trade_id');
SELECT keep_in_chunks('tickers', 'exchange_ts', '24 hours', '7 days', '30 days', 'exchange_ts, digest, nth');
SELECT keep_in_chunks('orderbook_snapshots', 'snapshot_ts', '24 hours', '7 days', NULL, 'snapshot_ts, source');
SELECT keep_in_chunks(
    'lifecycle_events', 'exchange_ts', '24 hours', '7 days', NULL, 'exchange_ts, event_type, digest, nth'
);

ALTER TABLE markets ADD COLUMN production_status TEXT COLLATE "C" GENERATED ALWAYS AS (
    CASE
        WHEN status IN ('initialized', 'inactive') THEN 'unopened'
        WHEN status = 'active' THEN 'open'
        WHEN status IN ('closed', 'disputed') THEN 'closed'
        ELSE 'settled'
    END
) STORED;

-- How far each gatherer's table has been read. A database with another system identifier is another source: read anew.
CREATE TABLE sync_cursors (
    gatherer TEXT NOT NULL,
    table_name TEXT NOT NULL,
    shard INTEGER NOT NULL DEFAULT 0,
    system_identifier BIGINT NOT NULL,
    ingest_id BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (gatherer, table_name, shard)
);

-- Per market and hour: complete, repaired by whom, or where the holes are.
CREATE TABLE coverage (
    hour TIMESTAMPTZ NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('complete', 'repaired', 'hole')),
    repaired_by TEXT [] NOT NULL DEFAULT '{}',
    holes TSTZMULTIRANGE NOT NULL DEFAULT '{}',
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (hour, ticker)
);

-- Which hours are in the lake, up to which row, and whether they were read back and compared.
CREATE TABLE exports (
    table_name TEXT NOT NULL,
    hour TIMESTAMPTZ NOT NULL,
    through_ingest_id BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    manifest TEXT NOT NULL,
    exported_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    verified_at TIMESTAMPTZ, -- NULL: not yet
    PRIMARY KEY (table_name, hour)
);
