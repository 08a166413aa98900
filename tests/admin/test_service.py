"""The admin service as it is run: by gunicorn, asked over HTTP."""

import contextlib
import gzip
import json
import re
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from admin.application import service as service_over
from admin.application import why_production_is_not_ready
from admin.server import MOST_CONNECTIONS
from app.runtime.secrets import TokenRole, new_token
from app.settings import Settings
from tests.processes import run, running
from tests.servers import end_sessions

HEAD = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GUNICORN = ("-m", "gunicorn", "admin:app", "--bind", "127.0.0.1:0")


@contextmanager
def admin(**settings):
    with running(*GUNICORN, **settings) as process:
        address = re.search(r"http://\S+:\d+", process.wait_for("Listening at"))[0]
        yield address, process


@pytest.fixture(scope="module")
def service():
    with admin() as (address, _):
        yield address


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_is_ready_with_a_migrated_production_database_and_stops_cleanly(production):
    with admin(KALSHI_PRODUCTION_DSN=production.reveal()) as (address, process):
        assert get(f"{address}/health") == (200, {"status": "ok"})
        assert get(f"{address}/ready") == (200, {"status": "ready"})
        with urllib.request.urlopen(f"{address}/metrics", timeout=120) as answer:
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
        assert "migrations are not applied" in get(f"{address}/ready")[1]["reasons"][0]


def is_refusal(done):
    """In words, and with the code after which neither gunicorn nor systemd starts it again."""
    return (done.returncode, "Fix:" in done.stderr, "Traceback" in done.stderr) == (3, True, False)


@pytest.mark.parametrize("checks", [("--check-config",), ()], ids=" ".join)
def test_wrong_settings_end_it_at_its_start(checks):
    done = run(*GUNICORN, *checks, KALSHI_LOG_LEVEL="loud")
    assert is_refusal(done)
    assert "KALSHI_LOG_LEVEL is 'loud'" in done.stderr


def test_slow_clients_do_not_keep_others_from_an_answer(production):
    """Each sends one letter of its request and then nothing more."""
    with admin(KALSHI_PRODUCTION_DSN=production.reveal()) as (address, _), contextlib.ExitStack() as open_sockets:
        host, port = address.removeprefix("http://").split(":")
        for _ in range(MOST_CONNECTIONS + 50):
            slow = open_sockets.enter_context(socket.create_connection((host, int(port)), timeout=120))
            slow.sendall(b"G")
        assert get(f"{address}/health") == (200, {"status": "ok"})
        assert get(f"{address}/ready") == (200, {"status": "ready"})


def test_without_tokens_it_refuses_to_answer_other_machines():
    done = run("-m", "gunicorn", "admin:app", "--bind", "0.0.0.0:0")
    assert is_refusal(done)
    assert "KALSHI_ADMIN_TOKENS is not set" in done.stderr


def test_with_tokens_it_answers_on_every_address(tmp_path):
    presented, token = new_token("ada", TokenRole.READ)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# who may\n{token.entry}\n")
    arguments = ("-m", "gunicorn", "admin:app", "--bind", "0.0.0.0:0")
    with running(*arguments, KALSHI_ADMIN_TOKENS_FILE=tokens) as process:
        port = re.search(r":(\d+)", process.wait_for("Listening at").split("http")[1])[1]
        address = f"http://127.0.0.1:{port}"
        assert get(f"{address}/admin/series")[0] == 401
        asked = urllib.request.Request(f"{address}/admin/connections", headers={"Authorization": f"Bearer {presented}"})
        with urllib.request.urlopen(asked, timeout=120) as answer:
            assert json.load(answer) == {"gatherers": []}
        assert not any(presented in line for line in process.lines)


def test_connections_that_broke_while_they_were_idle_are_made_anew(production):
    with admin(KALSHI_PRODUCTION_DSN=production.reveal()) as (address, _):
        assert get(f"{address}/admin/series")[0] == 200
        assert end_sessions(production, "admin") >= 1
        assert get(f"{address}/admin/series")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: a\r\n" * 2_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /static/../server.py HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /static/%2e%2e/server.py HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=["path", "header", "headers", "tls", "length", "chunks", "dots", "hidden dots"],
)
def test_what_is_no_request_is_refused_and_harms_nobody(service, sent):
    host, port = service.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: received(client), b""))
    assert not answer or answer.split()[1].startswith(b"4"), answer[:200]
    assert get(f"{service}/health") == (200, {"status": "ok"})


def received(client):
    """Whoever has sent more than is read finds the connection reset."""
    try:
        return client.recv(65_536)
    except ConnectionResetError:
        return b""


def test_whatever_happens_a_line_of_the_log_is_one_json_object(tmp_path):
    with admin(KALSHI_PRODUCTION_DSN=f"host={tmp_path} dbname=gone") as (address, process):
        assert get(f"{address}/admin/series")[0] == 503
        assert get(f"{address}/ready")[0] == 503
        host, port = address.removeprefix("http://").split(":")
        for sent in (b"nonsense\r\n", HEAD, HEAD + b"Content-Length: 9\r\n\r\nhalf", CHUNKED + b"zz\r\n", b"GET / H"):
            with socket.create_connection((host, int(port)), timeout=120) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it ends with a reset
                client.sendall(sent)
                assert get(f"{address}/health")[0] == 200
        assert get(f"{address}/health")[0] == 200
        process.signal(signal.SIGTERM)
        process.exit_code()
    assert len([json.loads(line) for line in process.lines]) > 5


def test_it_is_one_process_since_sessions_live_in_its_memory():
    done = run("-m", "gunicorn", "admin:app", "--bind", "127.0.0.1:0", "--workers", "2")
    assert is_refusal(done)
    assert "The admin service must be one process." in done.stderr


def test_a_proxy_is_named_together_with_tokens():
    done = run(*GUNICORN, KALSHI_ADMIN_PROXY="127.0.0.1")
    assert is_refusal(done)
    assert "KALSHI_ADMIN_TOKENS is not" in done.stderr


def test_the_database_is_asked_whether_it_is_ready_once_a_second_however_many_ask(production):
    asked = []

    def noting(function, *arguments, **named):
        asked.append(function)
        return function(*arguments, **named)

    client = service_over(Settings(production_dsn=production), noting).test_client()
    began = time.monotonic()
    assert {client.get("/ready").status_code for _ in range(50)} == {200}
    assert 1 <= asked.count(why_production_is_not_ready) <= 1 + (time.monotonic() - began)


def test_scripts_and_styles_are_compressed_and_not_sent_twice(api):
    path = "/static/vendor/uPlot-1.6.32.iife.min.js"
    plain, compressed = api.get(path), api.get(path, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(compressed.data) == plain.data
    assert len(compressed.data) == int(compressed.headers["Content-Length"]) < len(plain.data) / 2
    again = api.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": compressed.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
