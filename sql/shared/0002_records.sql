-- What the exchange said, as received. Units are in the names: _e6 millionths of a dollar, _e2 hundredths of a contract.
-- Columns stand widest first, so that rows carry no padding. Every table has one unique constraint, its primary key:
-- what makes two received events the same event. ingest_id counts rows in the order in which they are committed; how to
-- read on from the last one is not obvious: app/store/arrivals.py.

CREATE TABLE orderbook_deltas (
    exchange_ts TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    clock BIGINT NOT NULL, -- the exchange's counter of this market's changes; -1: the frame carried none
    delta_e2 BIGINT NOT NULL,
    price_e6 INTEGER NOT NULL CHECK (price_e6 BETWEEN 0 AND 1000000),
    nth INTEGER NOT NULL, -- how many identical changes came before it on its connection
    yes_side BOOLEAN NOT NULL, -- FALSE: a NO bid, at its NO price
    after_gap BOOLEAN NOT NULL, -- received between a loss and the next snapshot: no proof of completeness
    ts_missing BOOLEAN NOT NULL, -- the frame carried no time: exchange_ts is when it was sent, and differs per connection
    ticker TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (exchange_ts, ticker, clock, yes_side, price_e6, delta_e2, nth),
    CHECK (is_plausible(exchange_ts))
);

CREATE TABLE trades (
    exchange_ts TIMESTAMPTZ NOT NULL, -- whole milliseconds: the stream has no finer ones, and REST's must meet them
    received_at TIMESTAMPTZ NOT NULL,
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    size_e2 BIGINT NOT NULL,
    yes_price_e6 INTEGER NOT NULL CHECK (yes_price_e6 BETWEEN 0 AND 1000000),
    taker_yes BOOLEAN NOT NULL, -- the taker's outcome side; the same fact as book side bid
    is_block_trade BOOLEAN, -- NULL: the older wire does not say
    from_rest BOOLEAN NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    trade_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (exchange_ts, trade_id),
    CHECK (is_plausible(exchange_ts))
);

CREATE TABLE tickers (
    exchange_ts TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    digest BIGINT NOT NULL, -- of the stored fields alone: a field that is rolled out on one socket first splits no event
    yes_bid_size_e2 BIGINT,
    yes_ask_size_e2 BIGINT,
    last_trade_size_e2 BIGINT,
    volume_e2 BIGINT,
    open_interest_e2 BIGINT,
    dollar_volume BIGINT,
    dollar_open_interest BIGINT,
    price_e6 INTEGER, -- of the last trade; NULL: never traded
    yes_bid_e6 INTEGER,
    yes_ask_e6 INTEGER,
    nth INTEGER NOT NULL, -- A, B, A within one millisecond: the second A is another event
    ts_missing BOOLEAN NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (exchange_ts, ticker, digest, nth),
    CHECK (is_plausible(exchange_ts))
);

CREATE TABLE orderbook_snapshots (
    snapshot_ts TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    clock BIGINT NOT NULL, -- holds every change up to and including this clock; -1: carries none, as REST's never do
    levels_digest BIGINT NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL CHECK (source IN ('ws', 'rest')),
    -- All four NULL: a confirmation, the book was polled again and is the one that has the same levels_digest.
    yes_prices_e6 INTEGER [],
    yes_sizes_e2 BIGINT [],
    no_prices_e6 INTEGER [],
    no_sizes_e2 BIGINT [],
    PRIMARY KEY (snapshot_ts, ticker, source),
    CHECK (is_plausible(snapshot_ts)),
    CHECK (num_nulls(yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2) IN (0, 4)),
    CHECK (
        cardinality(yes_prices_e6) = cardinality(yes_sizes_e2) AND cardinality(no_prices_e6) = cardinality(no_sizes_e2)
    )
);

CREATE TABLE lifecycle_events (
    exchange_ts TIMESTAMPTZ NOT NULL, -- when the frame was sent: these messages carry no other time
    received_at TIMESTAMPTZ NOT NULL,
    ingest_id BIGINT GENERATED ALWAYS AS IDENTITY,
    digest BIGINT NOT NULL,
    nth INTEGER NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL, -- of the market, or of the event where the message is about one
    event_type TEXT COLLATE "C" NOT NULL,
    payload JSONB NOT NULL,
    PRIMARY KEY (exchange_ts, ticker, event_type, digest, nth),
    CHECK (is_plausible(exchange_ts))
);

-- In the order of arrival read the deduplicator here, and the exporter in production.
CREATE INDEX orderbook_deltas_ingest_id ON orderbook_deltas (ingest_id);
CREATE INDEX trades_ingest_id ON trades (ingest_id);
CREATE INDEX tickers_ingest_id ON tickers (ingest_id);
CREATE INDEX orderbook_snapshots_ingest_id ON orderbook_snapshots (ingest_id);
CREATE INDEX lifecycle_events_ingest_id ON lifecycle_events (ingest_id);

-- What arrived and does not fit, with its bytes, until somebody has looked at it.
CREATE TABLE quarantine (
    quarantine_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarantined_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    table_name TEXT, -- NULL: a frame that was not understood
    reason TEXT NOT NULL,
    payload BYTEA NOT NULL
);
