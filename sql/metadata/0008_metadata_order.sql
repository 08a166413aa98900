-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- Read on in the order in which rows were written, like records: an updated row gets a new ingest_id.

ALTER TABLE series ADD COLUMN ingest_id BIGINT GENERATED ALWAYS AS IDENTITY;
ALTER TABLE events ADD COLUMN ingest_id BIGINT GENERATED ALWAYS AS IDENTITY;
ALTER TABLE markets ADD COLUMN ingest_id BIGINT GENERATED ALWAYS AS IDENTITY;

CREATE INDEX series_ingest_id ON series (ingest_id);
CREATE INDEX events_ingest_id ON events (ingest_id);
CREATE INDEX markets_ingest_id ON markets (ingest_id);
