-- What of this database lies below raw/ in a lake: a ledger as production has one for processed/, kept here, so that bringing
-- hours there takes this database and the lake alone.

-- This database is bound to one lake at most: for that one it waits before it drops what is old.
CREATE TABLE lakes (
    lake_id UUID PRIMARY KEY, -- as _identity.json in its root says; all zeros: it was named, and not reached yet
    location TEXT NOT NULL, -- where it was seen last: a folder, or s3://bucket/prefix
    first_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    bound_at TIMESTAMPTZ -- NULL: this database is not bound to it
);

CREATE UNIQUE INDEX lakes_bound ON lakes ((TRUE)) WHERE bound_at IS NOT NULL;

-- A row is made when the first row of its hour is seen.
CREATE TABLE exports (
    lake_id UUID NOT NULL,
    table_name TEXT NOT NULL, -- raw/system identifier/table
    hour TIMESTAMPTZ NOT NULL,
    through_ingest_id BIGINT NOT NULL, -- up to which row it is there
    row_count BIGINT NOT NULL,
    manifest TEXT NOT NULL, -- '': it was never written
    exported_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    verified_at TIMESTAMPTZ, -- NULL: not read back yet
    changed_through BIGINT NOT NULL DEFAULT 0, -- the last row of the hour that is known
    changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    sha256 TEXT NOT NULL DEFAULT '', -- of the object that was written
    failures INTEGER NOT NULL DEFAULT 0, -- in a row
    failure TEXT, -- NULL: the last attempt did not fail
    retry_at TIMESTAMPTZ, -- not before; NULL: at once
    PRIMARY KEY (lake_id, table_name, hour)
);

CREATE INDEX exports_unfinished ON exports (lake_id, table_name, hour)
WHERE through_ingest_id < changed_through OR verified_at IS NULL;

-- Up to here the rows are known: their hours have rows in exports.
CREATE TABLE export_cursors (
    lake_id UUID NOT NULL,
    table_name TEXT NOT NULL,
    ingest_id BIGINT NOT NULL,
    PRIMARY KEY (lake_id, table_name)
);

-- Of these times raw/ lacks rows of this gatherer: the disk budget dropped them before they were there. Production has them.
CREATE TABLE archive_losses (
    table_name TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ NOT NULL,
    dropped_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, started_at)
);
