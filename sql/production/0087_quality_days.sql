-- The figures of finished days, for reports: production forgets the evidence of books, and a month must stay readable.
-- app/report/days.py

CREATE TABLE quality_days (
    day TIMESTAMPTZ PRIMARY KEY, -- its first moment
    figures JSONB NOT NULL, -- app/report/figures.py
    evidence TEXT NOT NULL, -- digest of the judgements that they are made of
    computed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Which of these figures a lake has.
CREATE TABLE quality_exports (
    lake_id UUID NOT NULL,
    day TIMESTAMPTZ NOT NULL REFERENCES quality_days (day),
    computed_at TIMESTAMPTZ NOT NULL, -- of the figures that were written
    PRIMARY KEY (lake_id, day)
);
