"""Production in the lake: asked for as an operator asks for it, and counted."""

from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus

from psycopg2 import sql

from app.coverage.moments import moment_of
from app.demonstration.loopback import ask
from app.demonstration.patience import wait_until
from app.demonstration.platform import Platform
from app.demonstration.summary import Archived
from app.errors import OperatorError
from app.postgres.connection import Connection, connected, value_of
from app.store.tables import PRODUCTION_TABLES

ARCHIVED_SECONDS = 60.0
# Hours that ended before are in the lake without being asked for.
EXPORTED_BY_ITSELF = timedelta(hours=2)

EXPORTED = """
    SELECT count(*), count(verified_at), coalesce(sum(row_count), 0)::BIGINT FROM exports
    WHERE table_name = ANY(%s) AND hour > %s - INTERVAL '1 hour'
"""
RECORDED = sql.SQL("SELECT count(*) FROM {table} WHERE {time} >= date_bin('1 hour', %s, 'epoch')")
JOB = "SELECT state, outcome FROM jobs WHERE job_id = %s"


def archive(platform: Platform, since_us: int) -> None:
    """Returns when all that was recorded since is in the lake, and was read back."""
    now = datetime.now(UTC)
    since = max(moment_of(since_us), now - EXPORTED_BY_ITSELF)
    times = {"from": since.isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    for job_id in [_ask_for(platform, {**times, "table": table.name}) for table in PRODUCTION_TABLES]:
        wait_until(partial(_why_not_done, platform, job_id), ARCHIVED_SECONDS)
    wait_until(lambda: _why_not_whole(platform, since_us), ARCHIVED_SECONDS)


def archived_since(connection: Connection, since_us: int) -> Archived:
    since = moment_of(since_us)
    recorded = 0
    for table in PRODUCTION_TABLES:
        names = {"table": sql.Identifier(table.name), "time": sql.Identifier(table.time_column)}
        recorded += value_of(connection, RECORDED.format(**names), (since,))
    with connection.cursor() as cursor:
        cursor.execute(EXPORTED, ([table.name for table in PRODUCTION_TABLES], since))
        ((objects, verified, rows),) = cursor.fetchall()
    return Archived(objects, verified, rows, recorded)


def _ask_for(platform: Platform, parameters: dict[str, str]) -> int:
    answer = ask(f"{platform.admin_url}/admin/jobs/export", parameters)
    if answer is None or answer.status != HTTPStatus.ACCEPTED:
        raise OperatorError("The demo's admin service takes no job.", str(answer), f"see {platform.admin.log_file}.")
    return int(answer.body["job_id"])


def _why_not_done(platform: Platform, job_id: int) -> str | None:
    platform.exporter.check()
    with connected(platform.production) as connection, connection.cursor() as cursor:
        cursor.execute(JOB, (job_id,))
        ((state, outcome),) = cursor.fetchall()
    if state == "failed":
        raise OperatorError("The demo's exporter failed.", outcome, f"see {platform.exporter.log_file}.")
    return None if state == "done" else f"The job {job_id} is {state}."


def _why_not_whole(platform: Platform, since_us: int) -> str | None:
    """Hours that have ended are the exporter's own, which may have been at one of them."""
    platform.exporter.check()
    with connected(platform.production) as connection:
        archived = archived_since(connection, since_us)
    return None if archived.is_whole else f"Not all is in the lake: {archived}."
