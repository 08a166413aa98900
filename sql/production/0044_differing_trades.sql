-- Copies of one trade that do not say the same. Each version that was heard is a row, the one that trades has among them.

CREATE TABLE differing_trades (
    trade_id TEXT NOT NULL,
    yes_price_e6 INTEGER NOT NULL,
    size_e2 BIGINT NOT NULL,
    taker_yes BOOLEAN NOT NULL,
    from_rest BOOLEAN NOT NULL, -- whether this version was fetched by REST
    exchange_ts TIMESTAMPTZ NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL,
    found_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (trade_id, yes_price_e6, size_e2, taker_yes)
);
