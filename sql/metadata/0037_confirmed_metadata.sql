-- Up to where the deduplicator has this gatherer's series, events and markets: what lies beyond is not dropped. (Production
-- has the table too, as it has all of this folder; there it stays empty.)
CREATE TABLE confirmations (
    table_name TEXT PRIMARY KEY,
    ingest_id BIGINT NOT NULL,
    confirmed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
