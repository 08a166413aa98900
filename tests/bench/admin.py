"""The admin service as it is run, over a production database with a million markets, asked by fifty clients at once.

Clients are people and programs that look again and again: each asks, waits for the answer, and asks again after a pause.
How many answers a second there are without pauses is measured too, with the plain query beside it.
"""

import json
import re
import subprocess
import sys
import time

import psutil

from app.databases import Kind
from app.postgres.connection import connected
from app.store.migrations import migrate, migrations_of
from tests.processes import ROOT, environment, running
from tests.servers import temporary_server

MARKETS = 1_000_000
CLIENTS = 50
SECONDS = 15
PAUSE_SECONDS = 0.25
PROGRAM = "tests.bench.programs.ask_admin"
GUNICORN = ("-m", "gunicorn", "admin:app", "--bind", "127.0.0.1:0")
FILL = """
    INSERT INTO series (ticker, title, updated_at, details) SELECT 'KXS' || n, 'Series ' || n, now(), '{}'
    FROM generate_series(0, 999) AS n;
    INSERT INTO events (event_ticker, series_ticker, title, updated_at, details)
    SELECT format('KXS%%s-E%%s', n %% 1000, n), 'KXS' || n %% 1000, 'Event ' || n, now(), '{}'
    FROM generate_series(0, 99999) AS n;
    INSERT INTO markets (
        ticker, event_ticker, title, yes_sub_title, status, market_type, open_time, close_time, updated_at, details
    )
    SELECT
        format('KXS%%s-E%%s-M%%s', n %% 1000, n %% 100000, to_char(n, 'FM0000000')),
        format('KXS%%s-E%%s', n %% 1000, n %% 100000), 'Will the number ' || n || ' come up?', n || ' or more',
        CASE WHEN n %% 10 = 0 THEN 'finalized' ELSE 'active' END, 'binary', now(), now() + INTERVAL '1 day', now(),
        jsonb_build_object('rules_primary', repeat('If the number comes up, this pays. ', 8), 'number', n)
    FROM generate_series(0, %(markets)s - 1) AS n
"""
PLAIN = """
    SELECT row_to_json(page)::TEXT FROM (
        SELECT * FROM markets WHERE status = 'active' AND ticker > %(after)s ORDER BY ticker LIMIT 100
    ) AS page
"""


def run(report):
    with temporary_server() as server:
        dsn = server.ensure_database(Kind.PRODUCTION.database)
        with connected(dsn) as connection:
            migrate(connection, migrations_of(Kind.PRODUCTION))
            with connection, connection.cursor() as cursor:
                cursor.execute(FILL, {"markets": MARKETS})
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE markets")
                # What the filling left to be written is no work of a day's.
                cursor.execute("CHECKPOINT")
            plain = plain_queries_per_second(connection)
        with running(*GUNICORN, KALSHI_PRODUCTION_DSN=dsn.reveal()) as process:
            measure(report, process.pid, re.search(r"http://\S+:\d+", process.wait_for("Listening at"))[0], plain)


def measure(report, process, url, plain):
    # What the machine and the server make of a question that asks for nothing: nothing else can be faster.
    nothing = asked(url, "health", PAUSE_SECONDS, SECONDS)
    report("health_p99_ms", nothing["p99_ms"], "ms", clients=CLIENTS, pause_seconds=PAUSE_SECONDS)
    for what, bar_ms in (("page", 50), ("market", 20)):
        asked(url, what, PAUSE_SECONDS, 2)  # to warm up
        paced = asked(url, what, PAUSE_SECONDS, SECONDS)
        conditions = {"clients": CLIENTS, "markets": MARKETS, "pause_seconds": PAUSE_SECONDS}
        per_second = {"answers_per_s": round(paced["per_second"])}
        report(f"{what}_p99_ms", paced["p99_ms"], "ms", bar_ms, at_least=False, **conditions, **per_second)
        report(f"{what}_p50_ms", paced["p50_ms"], "ms", **conditions)
        cpu_seconds = processor_seconds(process)
        flat_out = asked(url, what, 0, SECONDS)
        cpu_ms = 1_000 * (processor_seconds(process) - cpu_seconds) / (flat_out["per_second"] * SECONDS)
        conditions = {"clients": CLIENTS, "markets": MARKETS, "pause_seconds": 0}
        report(f"{what}_flat_out_p99_ms", flat_out["p99_ms"], "ms", **conditions)
        report(f"{what}_service_cpu_ms", cpu_ms, "ms", **conditions)
        report(f"{what}_answers_per_s", flat_out["per_second"], "answers/s", **conditions)
    report("plain_pages_per_s", plain, "pages/s", connections=1)


def processor_seconds(parent):
    """Of gunicorn's workers."""
    return sum(sum(worker.cpu_times()[:2]) for worker in psutil.Process(parent).children())


def asked(url, what, pause_seconds, seconds):
    """In a process of its own, since the clients' work is not the service's."""
    arguments = [PROGRAM, url, what, str(CLIENTS), str(pause_seconds), str(seconds), str(MARKETS)]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=environment(), cwd=ROOT, stdout=subprocess.PIPE, timeout=120, check=True
    )
    return json.loads(done.stdout)


def plain_queries_per_second(connection):
    started, count = time.perf_counter(), 0
    while time.perf_counter() < started + 3:
        with connection.cursor() as cursor:
            cursor.execute(PLAIN, {"after": f"KXS{count * 37 % 1000}"})
            assert len(cursor.fetchall()) == 100
        count += 1
    return count / (time.perf_counter() - started)
