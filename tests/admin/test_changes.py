"""What people tell the platform to do: that it is done, once, and written down with who asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.postgres.connection import connected
from app.runtime import jobs
from app.runtime.secrets import TokenRole
from tests.admin.asked import Asked, service_of
from tests.admin.seeded import TICKER
from tests.gatherers import execute

TIMES = {"from": "2026-11-21T10:00:00Z", "to": "2026-11-21T11:00:00+00:00"}


def changes(api):
    return [(change["action"], change["who"], change["outcome"]) for change in api.json("/admin/changes")["changes"]]


def cursors(api):
    found = api.json("/admin/cursors", gatherer="gatherer-1a", table="trades")["cursors"]
    return [(cursor["ingest_id"], cursor["rows_read"]) for cursor in found]


def test_a_rewind_only_tells_what_it_would_do_until_it_is_told_to_do_it(changing):
    asked = {"gatherer": "gatherer-1a", "table": "trades"}
    told = changing.post("/admin/cursors/rewind", asked).json
    assert (told["dry_run"], told["cursors"][0]["ingest_id"]) == (True, "1000")
    assert cursors(changing) == [("1000", 123456)]
    done = changing.post("/admin/cursors/rewind", {**asked, "dry_run": False}).json
    assert done == {**told, "dry_run": False}
    assert cursors(changing) == [("0", 123456)]
    assert changes(changing) == [("rewind", "local", done), ("rewind", "local", told)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/admin/cursors/rewind", {"gatherer": "nobody", "table": "trades"}, 404),
        ("/admin/cursors/rewind", {"gatherer": "gatherer-1a", "table": "markets"}, 400),
        ("/admin/cursors/rewind", {"gatherer": "gatherer-1a"}, 400),
        ("/admin/cursors/rewind", {"gatherer": "a\x00", "table": "trades"}, 400),
        ("/admin/cursors/rewind", {"gatherer": "\ud800", "table": "trades"}, 400),
        ("/admin/cursors/rewind", [1], 400),
        ("/admin/cursors/rewind", None, 415),
        ("/admin/quarantine/999/retry", {}, 404),
        ("/admin/quarantine/1/retry", {}, 409),
        ("/admin/jobs/backfill", {"from": TIMES["to"], "to": TIMES["from"]}, 400),
        ("/admin/jobs/backfill", {"from": "soon"}, 400),
        ("/admin/jobs/export", {**TIMES, "table": "secrets"}, 400),
        (f"/admin/markets/{TICKER}/poll", {}, 409),
        ("/admin/reconcile", {}, 409),
    ],
)
def test_what_cannot_be_done_changes_nothing(changing, path, body, status):
    before = len(changing.json("/admin/quarantine")["quarantine"])
    answer = changing.post(path, body) if body is not None else changing.ask("POST", path, data="{}")
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert changes(changing) == []
    assert len(changing.json("/admin/quarantine")["quarantine"]) == before


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 20_000, b'{"a":' * 5_000, b"NaN"])
def test_a_body_that_is_no_json_is_refused(api, body):
    answer = api.ask("POST", "/admin/cursors/rewind", data=body, content_type="application/json")
    assert answer.status_code == 400, answer.text


def test_a_body_that_is_too_long_is_refused(api):
    answer = api.ask("POST", "/admin/cursors/rewind", data=b" " * 70_000, content_type="application/json")
    assert answer.status_code == 413


def test_a_row_from_quarantine_is_heard_once_it_is_stored(changing):
    refuse = (
        "INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)"
        " SELECT id, 'gatherer-1a', 'trades', '', now(), now() + INTERVAL '1 second' FROM generate_series(1, 2) AS id"
    )
    execute(changing.dsn, refuse)
    changing.post("/admin/quarantine/2/retry")
    changing.ask("DELETE", "/admin/quarantine/1")
    open_refusals = "SELECT quarantine_id FROM gatherer_refusals WHERE stored_at IS NULL"
    assert execute(changing.dsn, open_refusals) == [(1,)]


def test_a_row_from_quarantine_is_stored_and_taken_out(changing):
    assert changing.post("/admin/quarantine/2/retry").json == {"stored": True}
    assert [row["trade_id"] for row in changing.json("/admin/markets/KXRAIN-26NOV21-M003/trades")["trades"]] == [
        "late-trade"
    ]
    assert [row["quarantine_id"] for row in changing.json("/admin/quarantine")["quarantine"]] == [1]
    assert changing.post("/admin/quarantine/2/retry").status_code == 404


def test_what_is_thrown_away_stays_in_the_record_of_changes(changing):
    kept = changing.json("/admin/quarantine/1")
    assert changing.ask("DELETE", "/admin/quarantine/1").status_code == 200
    assert changing.get("/admin/quarantine/1").status_code == 404
    ((action, _, outcome),) = changes(changing)
    assert (action, outcome["payload_base64"]) == ("discard", kept["payload_base64"])


def test_a_change_is_its_token_s(seeded, tokens):
    operator = Asked(service_of(seeded, tokens[1]), tokens[0][TokenRole.OPERATE])
    operator.post("/admin/jobs/backfill", TIMES)
    assert changes(operator)[0][:2] == ("backfill", "operate")


def test_a_job_is_asked_for_claimed_and_ended(changing):
    first = changing.post("/admin/jobs/backfill", {**TIMES, "ticker": TICKER})
    assert first.status_code == 202
    second = changing.post("/admin/jobs/export", {**TIMES, "table": "trades"}).json["job_id"]
    with connected(changing.dsn) as connection, connection, connection.cursor() as cursor:
        job = jobs.claim(cursor, ["backfill"], "worker-1")
        assert (job.job_id, job.parameters["ticker"]) == (first.json["job_id"], TICKER)
        assert jobs.claim(cursor, ["backfill"], "worker-2") is None
        assert jobs.goes_on(cursor, job, "worker-1", "7 trades")
        assert not jobs.end(cursor, job, "worker-2", True, "not mine")
        assert jobs.end(cursor, job, "worker-1", True, "12 trades added")
    assert changing.ask("DELETE", f"/admin/jobs/{second}").status_code == 200
    assert changing.ask("DELETE", f"/admin/jobs/{job.job_id}").status_code == 404
    told = {row["job_id"]: (row["state"], row["outcome"]) for row in changing.json("/admin/jobs")["jobs"]}
    assert told == {job.job_id: ("done", "12 trades added"), second: ("cancelled", None)}


def test_a_job_whose_worker_fell_silent_is_claimed_again(changing):
    changing.post("/admin/jobs/backfill", TIMES)
    with connected(changing.dsn) as connection, connection, connection.cursor() as cursor:
        job = jobs.claim(cursor, ["backfill"], "worker-1")
        cursor.execute("UPDATE jobs SET claimed_at = claimed_at - INTERVAL '31 minutes'")
        assert jobs.claim(cursor, ["backfill"], "worker-2") == job
        assert not jobs.goes_on(cursor, job, "worker-1", "7 trades")
        assert not jobs.end(cursor, job, "worker-1", True, "too late")


class Gatherer(BaseHTTPRequestHandler):
    """What an ops port answers to those who ask for it over HTTP."""

    def do_GET(self):
        shown = {"/ready": {"status": "ready"}, "/admin/polling": {"polling": [POLLED]}}
        self._answer(200, shown.get(self.path, {"connections": [CONNECTION]}))

    def do_POST(self):
        known = self.path in {f"/admin/poll/{TICKER}", "/admin/reconcile"}
        self._answer(200 if known else 404, {"ticker": TICKER, "detail": "No market is known."})

    def _answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        return


CONNECTION = {"conn": 1, "state": "open", "messages": 10, "age_seconds": 0.5, "in_doubt": 0}
POLLED = {"books": "two-sided", "every_seconds": 60, "took_seconds": 61.5, "markets": 30_000, "oldest_seconds": 80}


@pytest.fixture(scope="module")
def fleet(seeded):
    """Two gatherers, of which one is away."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Gatherer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ops = f"gatherer-1a=http://127.0.0.1:1;gatherer-1b=http://127.0.0.1:{server.server_port}"
        yield Asked(service_of(seeded, gatherer_ops=ops))
        server.shutdown()
        thread.join()


def test_gatherers_are_asked_for_their_live_state_and_one_that_is_away_does_not_hide_the_others(fleet):
    away, there = fleet.json("/admin/connections")["gatherers"]
    assert (away["gatherer"], away["answer"]) == ("gatherer-1a", None)
    assert "does not answer" in away["error"]
    assert (there["gatherer"], there["connections"]) == ("gatherer-1b", [CONNECTION])
    page = fleet.get("/parts/gatherers").text
    assert "away" in page
    assert "1 / 1" in page


def test_the_status_page_marks_books_that_are_polled_less_often_than_wanted(fleet):
    away, there = fleet.json("/admin/polling")["gatherers"]
    assert ("polling" in away, there["polling"]) == (False, [POLLED])
    page = " ".join(fleet.get("/parts/gatherers").text.split())
    marked = '<span class="warn" title="30 000 two-sided books, wanted every 60 s">two-sided 61 s</span>'
    assert marked in page


def test_a_poll_goes_to_the_first_gatherer_that_can(fleet):
    told = fleet.post(f"/admin/markets/{TICKER}/poll").json["gatherers"]
    assert [each["answer"] for each in told] == [None, 200]
    assert fleet.post("/admin/markets/KX-GONE/poll").status_code == 404


def test_all_gatherers_are_told_to_reconcile_whoever_is_away(fleet):
    told = fleet.post("/admin/reconcile").json["gatherers"]
    assert [(each["gatherer"], each["answer"]) for each in told] == [("gatherer-1a", None), ("gatherer-1b", 200)]
    ((_, _, outcome),) = [change for change in changes(fleet) if change[0] == "reconcile"]
    assert [each["status"] for each in outcome["gatherers"]] == [None, 200]
