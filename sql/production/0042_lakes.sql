-- squawk-ignore-file ban-drop-constraint, adding-serial-primary-key-field, constraint-missing-not-valid, require-concurrent-index-creation, require-concurrent-index-deletion
-- Of which lake the ledger speaks, and what went wrong with an hour.

-- Production is bound to one lake at most: what another one has verified lets nothing be dropped.
CREATE TABLE lakes (
    lake_id UUID PRIMARY KEY, -- as _identity.json in its root says
    location TEXT NOT NULL, -- where it was seen last: a folder, or s3://bucket/prefix
    first_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    bound_at TIMESTAMPTZ -- NULL: production is not bound to it
);

CREATE UNIQUE INDEX lakes_bound ON lakes ((TRUE)) WHERE bound_at IS NOT NULL;

-- All zeros: written when lakes were not told apart, until the lake that has the manifests adopts the row.
ALTER TABLE exports
ADD COLUMN lake_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
ADD COLUMN sha256 TEXT NOT NULL DEFAULT '', -- of the object that was written; '': not known
ADD COLUMN failures INTEGER NOT NULL DEFAULT 0, -- in a row
ADD COLUMN failure TEXT, -- NULL: the last attempt did not fail
ADD COLUMN retry_at TIMESTAMPTZ, -- not before; NULL: at once
DROP CONSTRAINT exports_pkey,
ADD PRIMARY KEY (lake_id, table_name, hour);

ALTER TABLE export_cursors
ADD COLUMN lake_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
DROP CONSTRAINT export_cursors_pkey,
ADD PRIMARY KEY (lake_id, table_name);

DROP INDEX exports_unfinished;
CREATE INDEX exports_unfinished ON exports (lake_id, table_name, hour)
WHERE through_ingest_id < changed_through OR verified_at IS NULL;
-- Whoever withdraws a row has its hour written anew in every lake.
CREATE INDEX exports_hour ON exports (table_name, hour);
