"""What the platform stands on, looked at piece by piece. A finding is a sentence; a failure says what to do."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from app.databases import Database, given_databases
from app.errors import OperatorError
from app.postgres.binaries import find_binaries
from app.postgres.connection import Connection, connected, value_of
from app.settings import Settings
from app.settings_warnings import warnings_of
from app.store.migrations import applied_migrations, later, migrations_of, pending

FREE_MIN_BYTES = 10_000_000_000
CLOCK_OFFSET_MAX_SECONDS = 1.0
# A query over a month of hourly partitions locks each of them and its indexes.
LOCKS_MIN = 256


class Check(NamedTuple):
    subject: str
    ok: bool
    finding: str


def checks(settings: Settings) -> Iterator[Check]:
    yield Check("Python", ok=sys.version_info >= (3, 11), finding=sys.version.split()[0])
    yield _disk(settings.data_dir)
    yield from (Check("settings", ok=False, finding=warning) for warning in warnings_of(settings))
    databases = given_databases(settings)
    if not databases:
        yield _embedded_server(settings)
    for database in databases:
        yield from _database(database)


def _disk(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    finding = f"{free_bytes // 1_000_000_000} GB free at {folder}"
    return Check("disk", free_bytes >= FREE_MIN_BYTES, finding)


def _embedded_server(settings: Settings) -> Check:
    try:
        binaries = find_binaries(settings.postgres_bin)
    except OperatorError as error:
        return Check("embedded PostgreSQL", ok=False, finding=str(error))
    return Check("embedded PostgreSQL", ok=True, finding=f"{binaries.version} in {binaries.folder}")


def _database(database: Database) -> Iterator[Check]:
    name = database.kind.database
    try:
        with connected(database.dsn, "doctor") as connection:
            yield _version(name, connection)
            yield _locks(name, connection)
            yield _clock(name, connection)
            yield _schema(database, connection)
    except OperatorError as error:
        yield Check(name, ok=False, finding=str(error))


def _version(name: str, connection: Connection) -> Check:
    loaded = value_of(connection, "SELECT current_setting('timescaledb.license', TRUE)")
    timescale = f", TimescaleDB loaded ({loaded} edition)" if loaded else ", no TimescaleDB loaded: partitions"
    return Check(name, ok=True, finding=f"PostgreSQL {connection.info.parameter_status('server_version')}{timescale}")


def _locks(name: str, connection: Connection) -> Check:
    locks = int(value_of(connection, "SHOW max_locks_per_transaction"))
    return Check(f"{name} max_locks_per_transaction", locks >= LOCKS_MIN, f"{locks}, and {LOCKS_MIN} are needed")


def _clock(name: str, connection: Connection) -> Check:
    before = datetime.now(UTC)
    theirs = value_of(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    # Between the two readings there is no telling, so only what lies outside of them counts.
    offset = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    return Check(f"{name} clock", offset <= CLOCK_OFFSET_MAX_SECONDS, f"{offset:.3f} s from this host's")


def _schema(database: Database, connection: Connection) -> Check:
    applied, known = applied_migrations(connection), migrations_of(database.kind)
    subject = f"{database.kind.database} schema"
    if waiting := pending(applied, known):
        return Check(subject, ok=False, finding=f"{len(waiting)} migrations to apply: kalshi-data migrate")
    names = ", ".join(later(applied, known).values())
    return Check(subject, ok=True, finding=f"is a later version's, with {names}" if names else "is this version's")
