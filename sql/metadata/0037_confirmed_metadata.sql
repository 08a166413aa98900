-- Up to where each production has this gatherer's series, events and markets: what lies beyond is not dropped. (Production
-- has the table too, as it has all of this folder; there it stays empty.)
CREATE TABLE confirmations (
    production TEXT COLLATE "C" NOT NULL, -- its server's identifier and its name
    table_name TEXT NOT NULL,
    ingest_id BIGINT NOT NULL,
    confirmed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (production, table_name)
);
