"""The quality report over a month of 10,000 markets and three gatherers, each day with an outage of all books."""

import time
from datetime import UTC, datetime, timedelta

import msgspec

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.report.days import KEEP, report_of
from app.report.queries import day_figures
from app.status.readings import asked_over
from tests.bench.dedup import template
from tests.servers import temporary_server

MARKETS, DAYS, CONNECTIONS = 10_000, 30, 20
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=DAYS)
GATHERERS = ["north", "south", "west"]
# Sockets lose their connection once a day each, and all of them together once a day; each book has its own end of that.
FILL = """
    SET session_replication_role = 'replica';
    INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, close_time, updated_at, details)
    SELECT
        'KX-' || n, 'KX', 'A market', 'active', 'binary', %(first)s::TIMESTAMPTZ + (n %% 700) * INTERVAL '1 hour',
        CASE WHEN n %% 3 = 0 THEN %(last)s END, now(), '{}'
    FROM generate_series(1, %(markets)s) AS n;
    INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)
    SELECT g, 1, %(first)s, %(last)s, %(last)s FROM unnest(%(gatherers)s) AS g;
    INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker)
    SELECT g, 1, open_time, n %% %(conns)s, 'orderbook_delta', ticker
    FROM unnest(%(gatherers)s) AS g, (SELECT row_number() OVER () AS n, * FROM markets) AS m
    UNION ALL
    SELECT g, 1, %(first)s, 0, channel, '' FROM unnest(%(gatherers)s) AS g,
        unnest(ARRAY['trade', 'ticker', 'market_lifecycle_v2']) AS channel;
    INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause)
    SELECT g, 1, row_number() OVER (), conn, at, at + INTERVAL '40 seconds', -1, 1, 'orderbook_delta', 'disconnected'
    FROM unnest(%(gatherers)s) WITH ORDINALITY AS each (g, place), generate_series(0, %(conns)s - 1) AS conn,
        generate_series(0, %(days)s - 1) AS day, (VALUES (0), (1)) AS together (is_together)
    CROSS JOIN LATERAL (
        SELECT %(first)s::TIMESTAMPTZ + day * INTERVAL '1 day' + INTERVAL '5 hours'
            + is_together * (place * 100 + conn) * INTERVAL '1 minute' AS at
    ) AS moments;
    INSERT INTO coverage_hours (hour, known_until, judged_changes, judged_at)
    SELECT hour, hour + INTERVAL '1 hour', 0, now()
    FROM generate_series(%(first)s, %(last)s - INTERVAL '1 hour', INTERVAL '1 hour') AS hour;
    INSERT INTO coverage_changes (hour) SELECT hour FROM coverage_hours;
    INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by)
    SELECT at, 'orderbook_delta', ticker, 'hole',
        tstzmultirange(tstzrange(at, at + INTERVAL '40 seconds' + hashtext(ticker) %% 1000 * INTERVAL '1 millisecond')), '{}', '{}'
    FROM markets, generate_series(0, %(days)s - 1) AS day
    CROSS JOIN LATERAL (SELECT %(first)s::TIMESTAMPTZ + day * INTERVAL '1 day' + INTERVAL '5 hours' AS at) AS moments
    WHERE open_time < at;
    SELECT ensure_chunk('orderbook_snapshots', %(last)s - INTERVAL '1 hour');
    INSERT INTO orderbook_snapshots (snapshot_ts, received_at, clock, levels_digest, ticker, source,
        yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2)
    SELECT %(last)s - INTERVAL '1 hour', now(), 1, 1, ticker, 'ws', '{1}', '{1}', '{}', '{}' FROM markets;
    UPDATE audit_progress SET ingest_id = 1000000;
    ANALYZE;
"""


def run(report):
    with temporary_server() as server:
        production = template(server, DatabaseKind.PRODUCTION)
        with connected(production) as connection, connection, connection.cursor() as cursor:
            values = {"markets": MARKETS, "days": DAYS, "conns": CONNECTIONS, "gatherers": GATHERERS}
            cursor.execute(FILL, {**values, "first": FIRST, "last": LAST})
        conditions = {"markets": MARKETS, "days": DAYS, "gatherers": len(GATHERERS)}
        with connected(production) as connection:
            ask = asked_over(connection)
            day, seconds = timed(lambda: day_figures(ask, LAST - timedelta(days=1)))
            report("quality_day", seconds, "s", bar=15, at_least=False, **conditions)
            keep_as_every_day(connection, day)
            month, seconds = timed(lambda: report_of(ask, FIRST, LAST))
            assert len(month.days) == DAYS
            report("quality_month_of_kept_days", seconds, "s", bar=5, at_least=False, **conditions)


def keep_as_every_day(connection, figures):
    with connection.cursor() as cursor:
        for number in range(DAYS):
            since = FIRST + timedelta(days=number)
            each = msgspec.structs.replace(figures, since=since, until=since + timedelta(days=1))
            cursor.execute(KEEP, {"day": since, "figures": msgspec.json.encode(each).decode()})


def timed(work):
    started = time.perf_counter()
    return work(), time.perf_counter() - started
