"""Whether the rights that the roles of a host's databases are given are enough for what their processes do."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from app import jobs
from app.lake.archive import Archive
from app.lake.asked_hours import AskedHours
from app.lake.folder import FolderStorage
from app.offload import inline
from app.postgres.dsn import Dsn
from app.store.tables import PRODUCTION_TRADES
from tests.admin.asked import Asked, service_of
from tests.ansible.places import ANSIBLE
from tests.gatherers import execute
from tests.lake.exporting import write
from workers.job_worker import JobWorker

NOW = datetime.now(UTC)
HOUR = {"from": (NOW - timedelta(minutes=1)).isoformat(), "to": NOW.isoformat(), "table": "trades"}


@pytest.fixture
def acting(production):
    """The production database, as one of its roles."""
    platform = yaml.safe_load((ANSIBLE / "roles" / "platform" / "defaults" / "main.yml").read_text())
    database = platform["platform_databases"]["production"]
    for role in database["readers"]:
        execute(production, f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        execute(production, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    for right in database["writes"]:
        execute(production, f"GRANT {right['privileges']} ON {', '.join(right['tables'])} TO {right['role']}")
    return lambda role: Dsn(f"{production.reveal()} options='-c role={role}'")


def test_an_export_is_asked_for_by_the_admin_service_and_done_by_the_exporter(acting, production, tmp_path):
    at_us = int(NOW.timestamp() * 1_000_000)
    write(production, PRODUCTION_TRADES, [(at_us, at_us, 100, 500_000, True, False, False, "KXTEST-1", "a trade")])
    admin = Asked(service_of(acting("kalshi_admin")))
    assert admin.post("/admin/jobs/export", HOUR).status_code == 202
    exporter = acting("kalshi_exporter")
    archive = Archive(exporter, FolderStorage(tmp_path))
    assert JobWorker(exporter, {jobs.EXPORT: AskedHours(archive, inline).export}, inline, threading.Event()).step()
    (job,) = admin.json("/admin/jobs")["jobs"]
    assert (job["state"], job["outcome"].split(",")[0]) == ("done", "1 of 1 hours written")
    assert execute(production, "SELECT verified_at IS NOT NULL FROM exports") == [(True,)]
