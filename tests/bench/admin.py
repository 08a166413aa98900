"""The admin service as it is run, over a production database with a million markets, asked by fifty clients at once.

Clients are people and programs that look again and again: each asks, waits for the answer, and asks again after a pause.
How many answers a second there are without pauses is measured too, with the plain query beside it.
"""

import json
import re
import statistics
import subprocess
import sys
import time

import psutil

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.migrations import migrate, migrations_of
from tests.processes import ROOT, environment, running
from tests.servers import temporary_server

MARKETS = 1_000_000
CLIENTS = 50
SECONDS = 5
WARM_UP_SECONDS = 3
ROUNDS = 7
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
        dsn = server.ensure_database(DatabaseKind.PRODUCTION.database)
        with connected(dsn) as connection:
            migrate(connection, migrations_of(DatabaseKind.PRODUCTION))
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
    """In turns with a question that asks for nothing: what the machine makes of that, it makes of all."""
    bars_ms = {"health": None, "page": 50, "market": 20}
    for what in bars_ms:
        asked(url, what, PAUSE_SECONDS, WARM_UP_SECONDS)
    paced = [{what: asked(url, what, PAUSE_SECONDS, SECONDS) for what in bars_ms} for _ in range(ROUNDS)]
    conditions = {"clients": CLIENTS, "markets": MARKETS}
    for what, bar_ms in bars_ms.items():
        how = {**conditions, "pause_seconds": PAUSE_SECONDS, "rounds": ROUNDS}
        p99s = [turn[what]["p99_ms"] for turn in paced]
        report(f"{what}_p99_ms", statistics.median(p99s), "ms", bar_ms, at_least=False, least=min(p99s), **how)
        report(f"{what}_p50_ms", statistics.median(turn[what]["p50_ms"] for turn in paced), "ms", **how)
    for what in bars_ms:
        before_seconds = processor_seconds(process)
        without_pause = asked(url, what, 0, SECONDS)
        cpu_seconds = processor_seconds(process) - before_seconds
        answers = without_pause["per_second"] * SECONDS
        report(f"{what}_answers_per_s", without_pause["per_second"], "answers/s", **conditions)
        report(f"{what}_service_cpu_ms", 1_000 * cpu_seconds / answers, "ms", **conditions)
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
