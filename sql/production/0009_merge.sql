-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- How gatherers' rows become production's: app/merge/rules.py says by which rule.

-- A gatherer's table is read once, or by several processes at the same time, each its share of the tickers. All cursors
-- of one table and gatherer belong to the same number of shards; the least of them is how far the table is here.
ALTER TABLE sync_cursors
ADD COLUMN shards INTEGER NOT NULL DEFAULT 1,
ADD COLUMN probe BIGINT, -- digest of the row read last: where it is not found again, the database is another or older one
ADD COLUMN received_through TIMESTAMPTZ, -- when the gatherer received that row
ADD COLUMN rows_read BIGINT NOT NULL DEFAULT 0,
ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0, -- how often the database turned out to be another one
ADD COLUMN failing_since TIMESTAMPTZ, -- NULL: it answers
ADD COLUMN failure TEXT;

CREATE TABLE merge_statistics (
    table_name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    rounds BIGINT NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_new BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, shard)
);

-- Rows that a better copy may replace are few and found at once, so that nothing is paid for them where there are none.
CREATE INDEX orderbook_deltas_after_gap ON orderbook_deltas (exchange_ts) WHERE after_gap;
CREATE INDEX orderbook_deltas_ts_missing ON orderbook_deltas (exchange_ts) WHERE ts_missing;
CREATE INDEX tickers_ts_missing ON tickers (exchange_ts) WHERE ts_missing;
CREATE INDEX trades_trade_id ON trades (trade_id);
