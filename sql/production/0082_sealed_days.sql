-- The chain of sealed days of each lake: what the lake must say of its days, and up to where. The lake has the links
-- themselves in _chain/.
CREATE TABLE sealed_days (
    lake_id UUID NOT NULL,
    number BIGINT NOT NULL, -- of the link; the first is 1
    day TIMESTAMPTZ NOT NULL, -- its first moment; a day whose objects were written again is sealed again
    objects BIGINT NOT NULL,
    root TEXT NOT NULL, -- Merkle root over the day's manifests
    head TEXT NOT NULL, -- sha256 of the link, which has that of the link before it
    sealed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    looked_at TIMESTAMPTZ NOT NULL, -- the day's objects were the same at this time too
    PRIMARY KEY (lake_id, number)
);

CREATE INDEX sealed_days_day ON sealed_days (lake_id, day, number);
