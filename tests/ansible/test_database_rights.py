"""What the playbook grants in production is enough for what each process does there, and no account may do more."""

import threading

import psycopg2.errors
import pytest
import yaml
from psycopg2.extensions import make_dsn

from app.lake.archive import Archive, AskedHours, RawArchive
from app.lake.layout import PROCESSED
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime import jobs
from app.runtime.threads import inline
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_TRADES
from tests.admin.asked import Asked, service_of
from tests.admin.seeded import seed
from tests.ansible.places import ANSIBLE
from tests.lake.exporting import write
from tests.servers import new_database
from tests.storage import rows
from workers.process.job_worker import JobWorker

DATABASES = yaml.safe_load((ANSIBLE / "roles/platform/defaults/main.yml").read_text())["platform_databases"]
PRODUCTION = DATABASES["production"]
GRANTS = yaml.safe_load((ANSIBLE / "roles/application/tasks/grants.yml").read_text())
TIMES = {"from": "2026-11-21T10:00:00Z", "to": "2026-11-21T11:00:00Z"}


def grant(cursor, database, told=PRODUCTION):
    """As the roles database_access and application do."""
    cursor.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    for reader in told["readers"]:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (reader,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {reader} LOGIN")
        cursor.execute(f"GRANT CONNECT ON DATABASE {database} TO {reader}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
    for role in told.get("temporary_tables", []):
        cursor.execute(f"GRANT TEMPORARY ON DATABASE {database} TO {role}")
    for written in told["writes"]:
        cursor.execute(f"GRANT {written['privileges']} ON {', '.join(written['tables'])} TO {written['role']}")
    for call in told["calls"]:
        signature = f"{call['function']} ({', '.join(call['arguments'])})"
        cursor.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {call['role']}")


@pytest.fixture(scope="module")
def production(server, templates):
    database = new_database(server, templates[DatabaseKind.PRODUCTION])
    seed(database)
    with connected(database) as connection, connection, connection.cursor() as cursor:
        grant(cursor, database.database)
    return database


@pytest.fixture(scope="module")
def as_role(production):
    return lambda role: Dsn(make_dsn(production.reveal(), user=role))


def test_what_is_to_be_granted_is_granted_in_every_database():
    assert all(f"'{name}'" in GRANTS[0]["loop"] for name, database in DATABASES.items() if database["writes"])


def assert_refused(dsn, statement):
    with (
        connected(dsn) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(statement)


def test_the_admin_service_may_do_what_people_tell_it_to(as_role):
    admin = Asked(service_of(as_role("kalshi_admin")))
    rewind = {"gatherer": "gatherer-1a", "table": "trades", "dry_run": False}
    answers = [
        admin.post("/admin/cursors/rewind", rewind),
        admin.post("/admin/quarantine/2/retry"),
        admin.ask("DELETE", "/admin/quarantine/1"),
        admin.post("/admin/jobs/backfill", TIMES),
        job := admin.post("/admin/jobs/export", {**TIMES, "table": "trades"}),
        admin.ask("DELETE", f"/admin/jobs/{job.json['job_id']}"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 202, 202, 200]


def test_a_row_from_quarantine_is_stored_also_where_there_is_no_chunk_yet(production, as_role):
    with connected(production) as connection, connection, connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO quarantine (table_name, reason, payload)
            SELECT 'trades', 'no chunk',
                convert_to((to_jsonb(trades) || '{"exchange_ts": "2026-01-01T12:00:00Z"}')::TEXT, 'UTF8')
            FROM trades LIMIT 1
            RETURNING quarantine_id
        """)
        (quarantine_id,) = cursor.fetchone()
    admin = Asked(service_of(as_role("kalshi_admin")))
    assert admin.post(f"/admin/quarantine/{quarantine_id}/retry").json == {"stored": True}


@pytest.mark.parametrize("role", sorted({*PRODUCTION["readers"]} - {"kalshi_admin"}))
def test_nobody_else_who_reads_may_make_a_chunk(as_role, role):
    assert_refused(as_role(role), "SELECT ensure_chunk('trades', '2026-01-02')")


def test_the_exporter_may_keep_its_ledger(as_role, tmp_path):
    exporter = as_role("kalshi_exporter")
    archive = Archive(exporter, FolderStorage(tmp_path))
    for dataset in PROCESSED.values():
        while archive.step(dataset, 0):
            continue
    assert list(FolderStorage(tmp_path).keys("processed"))


def test_the_exporter_may_write_coverage_and_reference_data(production, as_role, tmp_path):
    with connected(production) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE coverage_hours SET judged_at = now()")
    archive = Archive(as_role("kalshi_exporter"), FolderStorage(tmp_path))
    while archive.write_knowledge():
        continue
    assert all(list(FolderStorage(tmp_path).keys(folder)) for folder in ("coverage", "reference/markets"))


def test_the_exporter_may_seal_finished_days(production, as_role, tmp_path):
    long_ago_us = 1_790_000_000_000_000
    write(production, PRODUCTION_TRADES, [(long_ago_us, long_ago_us, 150, 420_000, True, None, False, "KXOLD", "1")])
    archive, datasets = Archive(as_role("kalshi_exporter"), FolderStorage(tmp_path)), PROCESSED.values()
    while any([archive.step(dataset, 0) for dataset in datasets] + [archive.make_candles(), archive.write_knowledge()]):
        continue
    assert archive.seal_days()
    assert list(FolderStorage(tmp_path).keys("_chain"))


def test_the_exporter_does_what_the_admin_service_was_asked_for(as_role, tmp_path):
    admin, exporter = Asked(service_of(as_role("kalshi_admin"))), as_role("kalshi_exporter")
    asked = admin.post("/admin/jobs/export", {**TIMES, "table": "trades"}).json
    exporting = AskedHours(Archive(exporter, FolderStorage(tmp_path)), inline).export
    assert JobWorker(exporter, {jobs.EXPORT: exporting}, inline, threading.Event()).step()
    (job,) = (job for job in admin.json("/admin/jobs")["jobs"] if job["job_id"] == asked["job_id"])
    assert job["state"] == "done", job


def test_the_archiver_may_keep_its_ledger_and_change_nothing_that_was_recorded(server, templates, tmp_path):
    timeseries = new_database(server, templates[DatabaseKind.TIMESERIES])
    write(timeseries, ORDERBOOK_DELTAS, [rows.delta()])
    with connected(timeseries) as connection, connection, connection.cursor() as cursor:
        grant(cursor, timeseries.database, DATABASES["timeseries"])
    archiver = Dsn(make_dsn(timeseries.reveal(), user="kalshi_exporter"))
    archive, storage = RawArchive(archiver, FolderStorage(tmp_path), "gatherer-1a"), FolderStorage(tmp_path)
    for dataset in archive.datasets().values():
        archive.update_backlog(dataset, 0)
        while archive.step(dataset, 0):
            continue
    assert list(storage.keys("raw"))
    assert archive.why_nothing_is_dropped() is None
    assert_refused(archiver, "DELETE FROM orderbook_deltas")
    assert_refused(archiver, "INSERT INTO confirmations (table_name, ingest_id) VALUES ('orderbook_deltas', 1)")


@pytest.mark.parametrize("role", sorted({*PRODUCTION["readers"]} - {"kalshi_admin"}))
def test_nobody_who_reads_may_delete_what_is_recorded(as_role, role):
    assert_refused(as_role(role), "DELETE FROM trades")
