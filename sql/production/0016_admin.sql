-- squawk-ignore-file require-concurrent-index-creation
-- For the admin service: who changed what, what is to be done, and the orders in which people look at things.

CREATE TABLE admin_changes (
    change_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    who TEXT NOT NULL, -- the token's name; 'local': somebody on the machine, while there are no tokens
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    parameters JSONB NOT NULL,
    outcome JSONB NOT NULL
);

-- Work that was asked for and that worker processes claim: app/jobs.py.
CREATE TABLE jobs (
    job_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('backfill', 'export')),
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    parameters JSONB NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    claimed_by TEXT,
    claimed_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    outcome TEXT -- in words
);
CREATE INDEX jobs_waiting ON jobs (kind, job_id) WHERE state = 'queued';

CREATE INDEX audit_findings_found_at ON audit_findings (found_at);
CREATE INDEX gatherer_gaps_started_at ON gatherer_gaps (started_at);

-- Markets and events are found by words. Not all is English, so words stay as they are.
CREATE FUNCTION words_of(content TEXT) RETURNS TSVECTOR
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple', translate(content, '-.', '  ')); -- a ticker's parts are words

-- Each word may be the beginning of a longer one.
CREATE FUNCTION words_begun(words TEXT) RETURNS TSQUERY
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg(quote_literal(lexeme) || ':*', ' & '), '')::TSQUERY FROM unnest(words_of(words))
);

CREATE INDEX markets_words ON markets USING gin (
    words_of(title || ' ' || coalesce(yes_sub_title, '') || ' ' || ticker)
);
CREATE INDEX events_words ON events USING gin (words_of(title || ' ' || coalesce(sub_title, '') || ' ' || event_ticker));
