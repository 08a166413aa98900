-- What is traded. `details` holds the exchange's object without what has a column here and without quotes.

CREATE TABLE series (
    ticker TEXT COLLATE "C" PRIMARY KEY,
    title TEXT NOT NULL,
    category TEXT,
    frequency TEXT,
    exchange_index INTEGER,
    last_updated_ts TIMESTAMPTZ, -- the exchange's
    updated_at TIMESTAMPTZ NOT NULL, -- ours
    details JSONB NOT NULL
);

CREATE TABLE events (
    event_ticker TEXT COLLATE "C" PRIMARY KEY,
    series_ticker TEXT COLLATE "C" NOT NULL,
    title TEXT NOT NULL,
    sub_title TEXT,
    mutually_exclusive BOOLEAN,
    exchange_index INTEGER,
    last_updated_ts TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL,
    details JSONB NOT NULL
);

CREATE TABLE markets (
    ticker TEXT COLLATE "C" PRIMARY KEY,
    event_ticker TEXT COLLATE "C" NOT NULL,
    title TEXT NOT NULL,
    yes_sub_title TEXT,
    no_sub_title TEXT,
    status TEXT COLLATE "C" NOT NULL CHECK (
        status IN ('initialized', 'inactive', 'active', 'closed', 'determined', 'disputed', 'amended', 'finalized')
    ),
    market_type TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C" NOT NULL DEFAULT '',
    exchange_index INTEGER,
    created_time TIMESTAMPTZ,
    open_time TIMESTAMPTZ,
    close_time TIMESTAMPTZ,
    expiration_time TIMESTAMPTZ,
    settlement_ts TIMESTAMPTZ,
    settlement_value_e6 BIGINT,
    price_level_structure TEXT,
    mve_collection_ticker TEXT,
    updated_time TIMESTAMPTZ, -- the exchange's, of the last change other than by trading
    updated_at TIMESTAMPTZ NOT NULL, -- ours
    details JSONB NOT NULL
);

CREATE INDEX events_series_ticker ON events (series_ticker);
CREATE INDEX markets_event_ticker ON markets (event_ticker);
CREATE INDEX markets_status ON markets (status, ticker);
CREATE INDEX series_updated_at ON series (updated_at);
CREATE INDEX events_updated_at ON events (updated_at);
CREATE INDEX markets_updated_at ON markets (updated_at);
