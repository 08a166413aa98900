"""The admin service as it is run: by gunicorn, asked over HTTP."""

import json
import re
import signal
import urllib.error
import urllib.request
from contextlib import contextmanager

from tests.processes import run, running

GUNICORN = ("-m", "gunicorn", "admin:app", "--bind", "127.0.0.1:0")


@contextmanager
def admin(**settings):
    with running(*GUNICORN, **settings) as process:
        address = re.search(r"http://\S+:\d+", process.wait_for("Listening at"))[0]
        yield address, process


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_is_ready_with_a_migrated_production_database_and_stops_cleanly(production):
    with admin(KALSHI_PRODUCTION_DSN=production.reveal()) as (address, process):
        assert get(f"{address}/health") == (200, {"status": "ok"})
        assert get(f"{address}/ready") == (200, {"status": "ready"})
        with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
            assert b"kalshi_build_info{" in answer.read()
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 0


def test_it_is_alive_and_not_ready_without_a_database():
    with admin() as (address, _):
        assert get(f"{address}/health")[0] == 200
        assert get(f"{address}/ready") == (
            503,
            {"status": "not ready", "reasons": ["KALSHI_PRODUCTION_DSN is not set."]},
        )


def test_it_says_when_the_database_cannot_be_reached(tmp_path):
    with admin(KALSHI_PRODUCTION_DSN=f"host={tmp_path} dbname=gone password=hunter2") as (address, _):
        status, body = get(f"{address}/ready")
        assert (status, body["reasons"]) == (503, ["The database gone cannot be reached."])


def test_it_says_when_migrations_are_missing(empty_database):
    with admin(KALSHI_PRODUCTION_DSN=empty_database.reveal()) as (address, _):
        assert "migrations are to be applied" in get(f"{address}/ready")[1]["reasons"][0]


def test_wrong_settings_end_it_at_its_start():
    done = run(*GUNICORN, "--check-config", KALSHI_LOG_LEVEL="loud")
    assert done.returncode != 0
    assert "KALSHI_LOG_LEVEL is 'loud'" in done.stderr
