"""A production database with a bit of everything, as of now."""

from app.postgres.connection import connected

MARKETS = 250
TICKER = "KXRAIN-26NOV21-M001"
TRADED_ONCE = "KXRAIN-26NOV21-M005"
GATHERERS = ("gatherer-1a", "gatherer-1b", "gatherer-1c")

SEED = """
    INSERT INTO series (ticker, title, category, frequency, updated_at, details)
    VALUES ('KXRAIN', 'Rain in New York', 'Climate', 'daily', now(), '{"tags": ["weather"]}');
    INSERT INTO events (event_ticker, series_ticker, title, sub_title, mutually_exclusive, updated_at, details)
    VALUES ('KXRAIN-26NOV21', 'KXRAIN', 'How much rain on 21 November?', 'New York', TRUE, now(), '{}');
    INSERT INTO markets (
        ticker, event_ticker, title, yes_sub_title, status, market_type, open_time, close_time, updated_at, details
    )
    SELECT
        format('KXRAIN-26NOV21-M%%s', to_char(n, 'FM000')), 'KXRAIN-26NOV21',
        format('Will it rain more than %%s mm?', n), format('%%s mm or more', n),
        CASE WHEN n %% 10 = 0 THEN 'closed' ELSE 'active' END, 'binary',
        now() - INTERVAL '6 hours', now() + INTERVAL '4 hours', now(), '{"rules_primary": "If it rains."}'
    FROM generate_series(1, %(markets)s) AS n;

    SELECT ensure_chunks(name, now() - INTERVAL '2 days', now() + INTERVAL '1 day')
    FROM unnest(ARRAY['orderbook_deltas', 'trades', 'tickers', 'orderbook_snapshots', 'lifecycle_events']) AS name;
    INSERT INTO orderbook_snapshots (
        snapshot_ts, received_at, clock, levels_digest, ticker, source,
        yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    ) VALUES (
        now() - INTERVAL '2 hours', now() - INTERVAL '2 hours', 100, 7, %(ticker)s, 'ws',
        '{400000,410000,420000,430000}', '{150000,90000,40000,12000}',
        '{520000,530000,540000,550000}', '{200000,80000,33000,7500}'
    );
    INSERT INTO orderbook_deltas (
        exchange_ts, received_at, clock, delta_e2, price_e6, nth, yes_side, after_gap, ts_missing, ticker
    )
    SELECT
        now() - (60 - n) * INTERVAL '1 minute', now() - (60 - n) * INTERVAL '1 minute', 100 + n, 100 * n, 430000, 0,
        TRUE, FALSE, FALSE, %(ticker)s
    FROM generate_series(1, 50) AS n;
    INSERT INTO trades (
        exchange_ts, received_at, size_e2, yes_price_e6, taker_yes, is_block_trade, from_rest, ticker, trade_id
    )
    SELECT
        date_trunc('milliseconds', now() - (400 - n) * INTERVAL '31 seconds'), now(), 100 + n * 10,
        430000 + ((n * 7919) %% 23 - 11) * 5000, n %% 2 = 0, FALSE, FALSE, %(ticker)s, format('trade-%%s', n)
    FROM generate_series(1, 400) AS n;
    INSERT INTO trades (
        exchange_ts, received_at, size_e2, yes_price_e6, taker_yes, is_block_trade, from_rest, ticker, trade_id
    ) VALUES (now() - INTERVAL '5 seconds', now(), 100, 430000, TRUE, FALSE, FALSE, %(traded_once)s, 'the-only-one');
    INSERT INTO tickers (
        exchange_ts, received_at, digest, price_e6, yes_bid_e6, yes_ask_e6, yes_bid_size_e2, volume_e2, nth, ts_missing,
        ticker
    )
    SELECT now() - n * INTERVAL '1 minute', now(), n * 1234567890123, 430000, 430000, 450000, 500, n, 0, FALSE, %(ticker)s
    FROM generate_series(1, 30) AS n;
    INSERT INTO lifecycle_events (exchange_ts, received_at, digest, nth, ticker, event_type, payload)
    VALUES (now() - INTERVAL '6 hours', now(), 5, 0, %(ticker)s, 'activated', '{"event_type": "activated"}');

    INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id, probe, received_through, rows_read)
    SELECT gatherer, table_name, 7000000000000000001, 1000, 99, now() - INTERVAL '1 second', 123456
    FROM unnest(%(gatherers)s::TEXT[]) AS gatherer, unnest(ARRAY['orderbook_deltas', 'trades', 'tickers']) AS table_name;
    UPDATE sync_cursors SET failing_since = now() - INTERVAL '3 minutes', failure = 'The database cannot be reached.'
    WHERE gatherer = 'gatherer-1c' AND table_name = 'trades';
    INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)
    SELECT gatherer, 1, now() - INTERVAL '1 day', now() - INTERVAL '1 second', now() - INTERVAL '2 seconds'
    FROM unnest(%(gatherers)s::TEXT[]) AS gatherer;
    INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause)
    VALUES ('gatherer-1a', 1, 0, 7, now() - INTERVAL '1 hour', now() - INTERVAL '59 minutes', 3, 120,
        'orderbook_delta', 'sequence');
    INSERT INTO coverage_hours (hour, known_until)
    SELECT hour, least(hour + INTERVAL '1 hour', now())
    FROM generate_series(date_trunc('hour', now()) - INTERVAL '23 hours', date_trunc('hour', now()), '1 hour') AS hour;
    INSERT INTO coverage_changes (hour) SELECT hour FROM coverage_hours;
    INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by)
    SELECT hour, 'orderbook_delta', %(ticker)s, 'hole',
        tstzmultirange(tstzrange(hour + INTERVAL '5 minutes', hour + INTERVAL '6 minutes')), '{}', '{gatherer-1b}'
    FROM coverage_hours WHERE hour = date_trunc('hour', now()) - INTERVAL '5 hours';
    INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by)
    SELECT hour, 'trade', '', 'repaired', '{}',
        tstzmultirange(tstzrange(hour + INTERVAL '5 minutes', hour + INTERVAL '6 minutes')), '{rest}'
    FROM coverage_hours WHERE hour = date_trunc('hour', now()) - INTERVAL '5 hours';
    INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at)
    VALUES ('gatherer-1b', 'trades', now() - INTERVAL '9 days', now() - INTERVAL '8 days');
    INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added)
    VALUES ('', now() - INTERVAL '5 hours', now() - INTERVAL '4 hours', 'hole', 20, 3);
    UPDATE audit_progress SET compared = 48210, equal = 48208;
    INSERT INTO audit_findings (ticker, from_ts, to_ts, from_clock, to_clock, is_explained, differing_levels, levels)
    VALUES
        (%(ticker)s, now() - INTERVAL '5 hours', now() - INTERVAL '4 hours', 1, 90, TRUE, 2, '[]'),
        ('KXRAIN-26NOV21-M002', now() - INTERVAL '3 hours', now() - INTERVAL '2 hours', 1, 90, FALSE, 1,
            '[{"yes_side": true, "price_e6": 400000}]');
    INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, verified_at)
    SELECT 'trades', hour, 100, 400, '_manifest/trades.json', now() FROM coverage_hours LIMIT 5;
    INSERT INTO differing_trades (trade_id, yes_price_e6, size_e2, taker_yes, from_rest, exchange_ts, ticker)
    SELECT 'told-twice', 430000 + version / 2 * 10000, 100, version %% 2 = 0, version = 3, now(), %(ticker)s
    FROM generate_series(0, 3) AS version;
    INSERT INTO quarantine (table_name, reason, payload)
    VALUES (NULL, 'Expected `int`, got `str`', '\\x7b00ff'), ('trades', 'trades_yes_price_e6_check', convert_to(
        '{"exchange_ts": "2026-11-21T12:00:00+00:00", "received_at": "2026-11-21T12:00:00+00:00", "size_e2": 100,'
        ' "yes_price_e6": 430000, "taker_yes": true, "is_block_trade": null, "from_rest": false,'
        ' "ticker": "KXRAIN-26NOV21-M003", "trade_id": "late-trade"}', 'UTF8'));
"""


def seed(dsn):
    values = {"markets": MARKETS, "ticker": TICKER, "traded_once": TRADED_ONCE, "gatherers": list(GATHERERS)}
    with connected(dsn) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SEED, values)
