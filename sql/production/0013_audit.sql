-- squawk-ignore-file require-concurrent-index-creation
-- Proof of the books: every snapshot of the stream against the one before it and the changes in between.

-- Polled snapshots outnumber those of the stream by far, and are of no use here.
CREATE INDEX orderbook_snapshots_stream ON orderbook_snapshots (ticker, snapshot_ts) WHERE source = 'ws';
CREATE INDEX orderbook_snapshots_stream_arrivals ON orderbook_snapshots (ingest_id) WHERE source = 'ws';

-- Up to which snapshot, in the order of arrival, books are compared.
CREATE TABLE audit_progress (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    ingest_id BIGINT NOT NULL,
    compared BIGINT NOT NULL,
    equal BIGINT NOT NULL
);
INSERT INTO audit_progress (ingest_id, compared, equal) VALUES (0, 0, 0);

-- A book that, rebuilt from one snapshot and every recorded change, is not the next snapshot.
CREATE TABLE audit_findings (
    ticker TEXT COLLATE "C" NOT NULL,
    from_ts TIMESTAMPTZ NOT NULL,
    to_ts TIMESTAMPTZ NOT NULL,
    from_clock BIGINT NOT NULL,
    to_clock BIGINT NOT NULL,
    is_explained BOOLEAN NOT NULL, -- coverage has a hole there
    differing_levels INTEGER NOT NULL,
    levels JSONB NOT NULL, -- the first of them
    found_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    checked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    resolved_at TIMESTAMPTZ, -- when late rows had made the books equal
    PRIMARY KEY (ticker, to_ts, from_ts)
);
CREATE INDEX audit_findings_open ON audit_findings (checked_at) WHERE resolved_at IS NULL;
