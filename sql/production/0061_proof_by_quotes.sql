-- squawk-ignore-file require-concurrent-index-creation, adding-field-with-default
-- Proof of the books by quotes: a ticker message states both best levels at its own time. app/audit/quote_audit.py

-- A quote's finding lasts until the next snapshot of the stream. Until there is one, to_ts is in the year 2200.
ALTER TABLE audit_findings
ADD COLUMN quote_ts TIMESTAMPTZ, -- of the quote that contradicted the book. NULL: a snapshot did
ADD COLUMN is_lasting BOOLEAN NOT NULL DEFAULT FALSE;
CREATE UNIQUE INDEX audit_findings_lasting ON audit_findings (ticker) WHERE is_lasting AND resolved_at IS NULL;
CREATE TRIGGER judge_markets_again_after_delete AFTER DELETE ON audit_findings
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, from_ts, to_ts FROM removed WHERE NOT is_explained AND resolved_at IS NULL'
);

-- Up to which quote, in the order of arrival, books are compared. What arrived before this migration is not.
CREATE TABLE quote_audit_progress (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    ingest_id BIGINT NOT NULL,
    judged_until TIMESTAMPTZ, -- every quote received earlier was looked at. NULL: no round yet
    compared BIGINT NOT NULL DEFAULT 0,
    equal BIGINT NOT NULL DEFAULT 0,
    explained BIGINT NOT NULL DEFAULT 0,
    incomparable BIGINT NOT NULL DEFAULT 0,
    passed BIGINT NOT NULL DEFAULT 0 -- not compared: they came late, or more came than a round compares
);
INSERT INTO quote_audit_progress (ingest_id)
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('tickers', 'ingest_id')::REGCLASS), 0);

CREATE TABLE book_proofs (
    ticker TEXT COLLATE "C" PRIMARY KEY,
    proven_until TIMESTAMPTZ, -- the last quote that the rebuilt book agreed with
    doubted_at TIMESTAMPTZ, -- of a quote that it does not agree with, while what explains that may still arrive
    noticed_at TIMESTAMPTZ -- when that was seen
) WITH (fillfactor = 50);
CREATE INDEX book_proofs_doubted_at ON book_proofs (doubted_at) WHERE doubted_at IS NOT NULL;

-- Up to where the exchange itself has confirmed a market's book: every level by a snapshot, or the best ones by a quote. A
-- contradiction that no snapshot has ended takes it back to the last confirmation before.
CREATE FUNCTION proven_until(the_ticker TEXT) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT least(
        greatest(audited_until(the_ticker), (SELECT p.proven_until FROM book_proofs AS p WHERE p.ticker = the_ticker)),
        (
            SELECT f.from_ts FROM audit_findings AS f
            WHERE f.ticker = the_ticker AND f.is_lasting AND f.resolved_at IS NULL
        )
    )
$$;

-- As in 0047_knowledge_of_books.sql; of a book in doubt nothing is known after its last confirmation.
CREATE OR REPLACE FUNCTION known_until(the_ticker TEXT) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT least(
        judged.until,
        (SELECT traded_until(m.close_time) FROM markets AS m WHERE m.ticker = the_ticker),
        (
            SELECT coalesce(p.proven_until, p.doubted_at - INTERVAL '1 microsecond') FROM book_proofs AS p
            WHERE p.ticker = the_ticker AND p.doubted_at IS NOT NULL
        )
    )
    FROM (
        SELECT h.known_until AS until FROM coverage_hours AS h WHERE h.known_until > h.hour ORDER BY h.hour DESC LIMIT 1
    ) AS judged
$$;
