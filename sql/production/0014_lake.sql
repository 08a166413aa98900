-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- What the lake has to write, and up to where that is known.

-- A row of exports is made when the first row of its hour is seen. table_name is the table of production, or
-- gatherer/system identifier/table for rows as a gatherer received them.
ALTER TABLE exports
ADD COLUMN changed_through BIGINT NOT NULL DEFAULT 0, -- the last row of the hour that is known; exported are those before
ADD COLUMN changed_at TIMESTAMPTZ NOT NULL DEFAULT now();

-- Up to here the rows are known: their hours have rows in exports.
CREATE TABLE export_cursors (
    table_name TEXT PRIMARY KEY,
    ingest_id BIGINT NOT NULL
);

CREATE INDEX exports_unfinished ON exports (table_name, hour) WHERE through_ingest_id < changed_through OR verified_at IS NULL;
