-- What every gatherer knows about its own recording, copied from its database: sql/timeseries/0007_recording.sql says
-- what the columns mean.

CREATE TABLE gatherer_runs (
    gatherer TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    recorded_until TIMESTAMPTZ NOT NULL, -- whatever it received before was in its own database
    marked_until TIMESTAMPTZ, -- the recorded_until that belongs to gatherer_marks
    delivered_until TIMESTAMPTZ, -- whatever it received before is here; NULL: nothing yet
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (gatherer, run_id)
);

CREATE TABLE gatherer_subscriptions (
    gatherer TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    conn SMALLINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (gatherer, run_id, conn, channel, ticker, started_at)
);
CREATE INDEX gatherer_subscriptions_ticker ON gatherer_subscriptions (ticker, channel);

CREATE TABLE gatherer_gaps (
    gatherer TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    conn SMALLINT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    sid INTEGER NOT NULL,
    markets INTEGER NOT NULL,
    missing BIGINT,
    channel TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (gatherer, run_id, number)
);

-- Where a gatherer's tables ended when its runs were last marked: once sync_cursors have passed all of these, whatever
-- it received before its runs' marked_until is here.
CREATE TABLE gatherer_marks (
    gatherer TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    system_identifier BIGINT NOT NULL,
    ingest_id BIGINT NOT NULL,
    PRIMARY KEY (gatherer, table_name)
);

CREATE TABLE gatherer_contacts (
    gatherer TEXT COLLATE "C" PRIMARY KEY,
    system_identifier BIGINT NOT NULL,
    first_run_id BIGINT, -- of those in its database: after a rebuild it is another
    contacted_at TIMESTAMPTZ NOT NULL -- when its journal was last read
);
