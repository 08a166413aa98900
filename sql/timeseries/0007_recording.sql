-- squawk-ignore-file ban-drop-table
-- What a gatherer knows about its own recording: when it ran, what it listened to, and when it heard nothing or not all.
-- Rows are written again when more is known; that gives them a new ingest_id, so that whoever reads on sees it.

DROP TABLE gaps; -- nothing ever wrote to it

-- One life of the process.
CREATE TABLE runs (
    run_id BIGINT PRIMARY KEY, -- its start, in microseconds since 1970
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    gatherer TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    recorded_until TIMESTAMPTZ NOT NULL, -- of what happened before, all that it was sent is on disk
    ended_at TIMESTAMPTZ -- NULL: it runs, or it died
);

-- What a socket listened to. It lasts at most until its run's recorded_until, whatever ended_at says.
CREATE TABLE subscriptions (
    run_id BIGINT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL, -- of a book: its first snapshot on this socket
    ended_at TIMESTAMPTZ, -- NULL: it lasts, or its run ended first
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    conn SMALLINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL, -- '': the whole exchange
    PRIMARY KEY (run_id, conn, channel, ticker, started_at)
);

-- When a socket heard nothing, or not all, of what it was subscribed to.
CREATE TABLE gaps (
    run_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    conn SMALLINT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL, -- whatever happened up to here was heard
    ended_at TIMESTAMPTZ, -- from here all is heard again, of books from a snapshot of each; NULL: not yet
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    sid INTEGER NOT NULL, -- -1: all of the socket's
    markets INTEGER NOT NULL, -- how many it may concern; -1: the whole exchange
    missing BIGINT, -- messages, where numbers tell
    channel TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL CHECK (
        cause IN ('disconnected', 'sequence', 'overflow', 'channel_error', 'unreadable', 'unsubscribed')
    ),
    PRIMARY KEY (run_id, number)
);

CREATE INDEX runs_ingest_id ON runs (ingest_id);
CREATE INDEX subscriptions_ingest_id ON subscriptions (ingest_id);
CREATE INDEX gaps_ingest_id ON gaps (ingest_id);
