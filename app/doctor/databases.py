"""Check the databases: reachable, this version's schema, safe settings, and rights for what runs here."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg2.errors

from app.doctor.check import ADMIN, ARCHIVER, DEDUPLICATOR, EXPORTER, GATHERER, MAINTAINER, Check, failed, judged, note
from app.errors import DatabaseError, OperatorError
from app.lake import binding
from app.lake.layout import RAW_TABLES, raw_folder
from app.lake.storage import Storage, storage_of
from app.postgres.connection import Connection, connected, value_of
from app.postgres.databases import Database, DatabaseKind
from app.postgres.dsn import Dsn
from app.settings import Settings
from app.storage.migrations import applied_migrations, later, migrations_of, pending

CLOCK_OFFSET_MAX_SECONDS = 1.0
# A query over a month of hourly partitions locks each partition and its indexes.
LOCKS_MIN = 256
GIGABYTE = 1_000_000_000
HERE = ("", "localhost", "127.0.0.1", "::1")
NEEDED_BY = {
    DatabaseKind.TIMESERIES: (GATHERER, ARCHIVER),
    DatabaseKind.METADATA: (GATHERER,),
    DatabaseKind.PRODUCTION: (DEDUPLICATOR, EXPORTER, ADMIN),
}
# The deduplicator writes every table; the others read all and write some. The maintainer drops partitions, which only
# their owner may do.
WRITERS = {
    DatabaseKind.TIMESERIES: (GATHERER,),
    DatabaseKind.METADATA: (GATHERER,),
    DatabaseKind.PRODUCTION: (DEDUPLICATOR,),
}
SAFE = {"fsync": "on", "full_page_writes": "on", "default_transaction_read_only": "off", "server_encoding": "UTF8"}

RIGHTS = """
    SELECT
        c.relname, pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),
        has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
            AND has_table_privilege(c.oid, 'DELETE')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
"""
MAY_CONFIRM = """
    SELECT has_table_privilege('confirmations', 'INSERT') AND has_table_privilege('confirmations', 'UPDATE')
"""
# The extension is installed, or the server could provide it; its edition is known once it is installed. pg_settings
# leaves out what this role may not see, where current_setting() would fail.
TIMESCALEDB = r"""
    SELECT
        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
        (
            SELECT default_version FROM pg_available_extensions
            WHERE name = 'timescaledb' AND EXISTS (
                SELECT FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting ~ '\mtimescaledb\M'
            )
        ),
        current_setting('timescaledb.license', TRUE)
"""
POLICIES = """
    SELECT hypertable_name FROM timescaledb_information.jobs
    WHERE proc_name IN ('policy_compression', 'policy_recompression') AND hypertable_schema = 'public'
    ORDER BY hypertable_name
"""
IDENTITY = "SELECT system_identifier || '/' || current_database() FROM pg_control_system()"


class TableRights(NamedTuple):
    """The rights of the connected role on a table."""

    name: str
    is_owner: bool
    may_read: bool
    may_write: bool


def database_checks(database: Database, budget_bytes: int | None) -> Iterator[Check]:
    """Check one database. If it cannot be reached, that is the only finding."""
    name, needed_by = database.kind.database, NEEDED_BY[database.kind]
    try:
        with connected(database.dsn, "doctor") as connection:
            yield _version(name, connection)
            yield from _compression(name, connection)
            yield _locks(name, connection)
            yield _clock(name, connection)
            yield from _settings(name, connection, needed_by)
            yield _schema(database.kind, name, connection, needed_by)
            yield from _rights(database.kind, name, connection)
            if budget_bytes is not None:
                yield _disk(name, budget_bytes, connection)
    except DatabaseError as error:
        setting = f"KALSHI_{database.kind.setting.upper()}"
        yield failed(name, f"{error.what} {error.detail} Fix: check the server, and {setting}.", needed_by)


def gatherers_checks(settings: Settings) -> Iterator[Check]:
    """Check the databases of each gatherer, which the deduplicator reads."""
    if settings.gatherer_dsns is None:
        yield note("KALSHI_GATHERER_DSNS", "not set", (DEDUPLICATOR,))
        return
    named = settings.gatherer_dsns.by_gatherer()
    metadata = settings.gatherer_meta_dsns.by_gatherer() if settings.gatherer_meta_dsns else {}
    if strangers := sorted(metadata.keys() - named.keys()):
        yield failed(
            "KALSHI_GATHERER_META_DSNS", f"{', '.join(strangers)} is not in KALSHI_GATHERER_DSNS", (DEDUPLICATOR,)
        )
    if silent := sorted(named.keys() - metadata.keys()):
        yield note("KALSHI_GATHERER_META_DSNS", f"not of {', '.join(silent)}: their markets are not replicated")
    if len(named) != settings.gatherers:
        yield note("KALSHI_GATHERER_DSNS", f"{len(named)} gatherers, and KALSHI_GATHERERS is {settings.gatherers}")
    yield from _read_databases(DatabaseKind.TIMESERIES, named)
    yield from _read_databases(DatabaseKind.METADATA, metadata)


def _read_databases(kind: DatabaseKind, named: Mapping[str, Dsn]) -> Iterator[Check]:
    seen: dict[str, str] = {}
    for name, dsn in named.items():
        subject = f"{kind.database} of {name}"
        try:
            with connected(dsn, "doctor") as connection:
                identity = str(value_of(connection, IDENTITY))
                yield _schema(kind, subject, connection, (DEDUPLICATOR,))
                yield _reads(subject, connection, (DEDUPLICATOR,))
                yield _confirms(subject, connection)
        except DatabaseError as error:
            # The deduplicator continues with the other gatherers.
            yield failed(subject, f"{error.what} {error.detail}")
            continue
        if identity in seen:
            yield failed(
                f"{subject} database",
                f"is the same as that of {seen[identity]}: one of the two names is wrong",
                (DEDUPLICATOR,),
            )
        seen[identity] = name


def _disk(name: str, budget_bytes: int, connection: Connection) -> Check:
    """Compare the budget with the free space, if the server is on this host and the role may see its data folder."""
    subject = f"{name} disk"
    size_bytes = int(value_of(connection, "SELECT pg_database_size(current_database())"))
    told = f"{size_bytes // GIGABYTE} of {budget_bytes // GIGABYTE} GB that its budget allows"
    if not (connection.info.host in HERE or connection.info.host.startswith("/")):
        return note(subject, f"{told}; the server is on another host")
    try:
        folder = str(value_of(connection, "SHOW data_directory"))
        free_bytes = shutil.disk_usage(folder).free
    except (psycopg2.errors.InsufficientPrivilege, OSError) as error:
        return note(subject, f"{told}; its folder cannot be read ({str(error).strip()})")
    fits = size_bytes + free_bytes >= budget_bytes
    fix = "" if fits else ": make room, or lower the budget (KALSHI_LOCAL_MAX_BYTES, KALSHI_PRODUCTION_MAX_BYTES)"
    return judged(subject, f"{told}, {free_bytes // GIGABYTE} GB free in {folder}{fix}", ok=fits)


def _version(name: str, connection: Connection) -> Check:
    """Report the server's version, and whether tables are hypertables or partitions, or would be if created now."""
    with connection.cursor() as cursor:
        cursor.execute(TIMESCALEDB)
        installed, loaded, license_of_it = cursor.fetchone() or (None, None, None)
    timescale = "no TimescaleDB loaded: partitions"
    if installed or loaded:
        edition = f", {license_of_it} edition" if license_of_it else ""
        timescale = f"TimescaleDB {installed or loaded}{edition}: hypertables"
    if installed and loaded and installed != loaded:
        timescale += f" ({loaded} is installed: ALTER EXTENSION timescaledb UPDATE, as a session's first command)"
    return judged(name, f"PostgreSQL {connection.info.parameter_status('server_version')}, {timescale}", ok=True)


def _compression(name: str, connection: Connection) -> Iterator[Check]:
    """Check that only the maintainer compresses.

    Readers leave out compressed rows, and rely on the maintainer's note of how far compression has gone.
    """
    if not value_of(connection, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"):
        return
    with connection.cursor() as cursor:
        cursor.execute(POLICIES)
        tables = [table for (table,) in cursor.fetchall()]
    fix = ": remove_columnstore_policy() each, and see Compression in the runbook, or readers miss rows"
    finding = f"{', '.join(tables)}{fix}" if tables else "none but the maintainer's own"
    yield judged(f"{name} compression policies", finding, (MAINTAINER,), ok=not tables)


def _locks(name: str, connection: Connection) -> Check:
    locks = int(value_of(connection, "SHOW max_locks_per_transaction"))
    return judged(f"{name} max_locks_per_transaction", f"{locks}, and {LOCKS_MIN} are needed", ok=locks >= LOCKS_MIN)


def _clock(name: str, connection: Connection) -> Check:
    before = datetime.now(UTC)
    theirs = value_of(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    # The reading lies somewhere between the two of ours, so only what is outside them counts as offset.
    offset = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    return judged(f"{name} clock", f"{offset:.3f} s from this host's", ok=offset <= CLOCK_OFFSET_MAX_SECONDS)


def _settings(name: str, connection: Connection, needed_by: tuple[str, ...]) -> Iterator[Check]:
    """Check that a commit means on disk, and that the server is a primary."""
    found = {setting: str(value_of(connection, f"SHOW {setting}")) for setting in (*SAFE, "synchronous_commit")}
    wrong = [
        f"{setting} is {found[setting]} instead of {value}"
        for setting, value in SAFE.items()
        if found[setting] != value
    ]
    wrong += ["synchronous_commit is off"] if found["synchronous_commit"] == "off" else []
    yield judged(f"{name} settings", "; ".join(wrong) or "safe", ok=not wrong)
    if value_of(connection, "SELECT pg_is_in_recovery()"):
        yield failed(
            f"{name} role of the server", "it is a replica: set the connection string of the primary", needed_by
        )


def _schema(kind: DatabaseKind, name: str, connection: Connection, needed_by: tuple[str, ...]) -> Check:
    applied, known = applied_migrations(connection), migrations_of(kind)
    subject = f"{name} schema"
    if waiting := pending(applied, known):
        return failed(subject, f"{len(waiting)} migrations to apply: kalshi-data migrate", needed_by)
    names = ", ".join(later(applied, known).values())
    return judged(subject, f"is a later version's, with {names}" if names else "is this version's", ok=True)


def _rights(kind: DatabaseKind, name: str, connection: Connection) -> Iterator[Check]:
    """Note the rights that the role lacks. Lacking some is normal: hosts have different roles."""
    yield _reads(name, connection, NEEDED_BY[kind])
    role, tables = value_of(connection, "SELECT current_user"), _tables(connection)
    if closed := [table.name for table in tables if not table.may_write]:
        yield note(f"{name} writing", f"{role} may not write {', '.join(closed)}", WRITERS[kind])
    if foreign := [table.name for table in tables if not table.is_owner]:
        yield note(f"{name} ownership", f"{role} does not own {', '.join(foreign)}", (MAINTAINER,))
    if not value_of(connection, "SELECT has_schema_privilege('public', 'CREATE')"):
        yield note(f"{name} tables", f"{role} may not create tables: migrate with another role", (MAINTAINER,))


def _reads(name: str, connection: Connection, needed_by: tuple[str, ...]) -> Check:
    closed = [table.name for table in _tables(connection) if not table.may_read]
    role = value_of(connection, "SELECT current_user")
    finding = f"{role} may not read {', '.join(closed)}" if closed else f"{role} may read every table"
    return judged(f"{name} rights", finding, needed_by, ok=not closed)


def _confirms(name: str, connection: Connection) -> Check:
    may = bool(value_of(connection, MAY_CONFIRM))
    finding = "may be written" if may else "may not be written: the gatherer keeps everything until its disk is full"
    return judged(f"{name} confirmations", finding, (DEDUPLICATOR,), ok=may)


def _tables(connection: Connection) -> list[TableRights]:
    with connection.cursor() as cursor:
        cursor.execute(RIGHTS)
        return [TableRights(*row) for row in cursor.fetchall()]


# The lake: whether it can be read and written, and is the one that production is bound to.


def lake_checks(settings: Settings) -> Iterator[Check]:
    if settings.lake is None:
        told = "KALSHI_LAKE is not set: an exporter would write below KALSHI_DATA_DIR and bind nothing"
        yield note("lake", told, (ARCHIVER,))
        return
    try:
        storage = storage_of(settings)
        known = binding.known_identity(storage)
    except OperatorError as error:
        yield failed("lake", _in_one_line(error), (EXPORTER, ARCHIVER))
        return
    yield from _writable(settings, storage, known)
    yield from _binding(settings, storage, known)
    yield from _binding_of_gatherer(settings, storage, known)


def _writable(settings: Settings, storage: Storage, known: binding.Identity | None) -> Iterator[Check]:
    """Check write access: to the whole lake for an exporter, to a gatherer's own folders for its archiver."""
    raw = raw_folder(RAW_TABLES[0].name, settings.gatherer)
    is_gatherer_s = settings.ts_dsn is not None
    places = [("lake", "", EXPORTER)] if settings.production_dsn is not None or not is_gatherer_s else []
    places += [("lake's raw/", raw, ARCHIVER)] if is_gatherer_s else []
    for subject, folder, process in places:
        try:
            storage.prove_writable(folder)
        except OperatorError as error:
            yield failed(subject, _in_one_line(error), (process,))
            continue
        where = f"{storage.location}/{folder}" if folder else storage.location
        yield judged(subject, f"{where} can be written; {_named(storage, known)}", ok=True)


def _in_one_line(error: OperatorError) -> str:
    return " ".join(str(error).split("\n"))


def _named(storage: Storage, known: binding.Identity | None) -> str:
    if known is not None:
        return f"it is {known.lake_id}, of {known.created_at:%Y-%m-%d}"
    is_there = storage.location.startswith("s3://") or Path(storage.location).exists()
    return "it has no identity yet" if is_there else "it does not exist yet and would be created: check the path"


def _binding(settings: Settings, storage: Storage, known: binding.Identity | None) -> Iterator[Check]:
    if settings.production_dsn is None:
        return
    try:
        with connected(settings.production_dsn, "doctor") as connection:
            bound = binding.bound_lake(connection)
    except OperatorError as error:
        yield note("lake of production", f"not known: {error.what}")
        return
    if bound is None:
        yield note("lake of production", "none: the exporter binds the first one; until then production drops nothing")
    elif known is None or bound.lake_id != known.lake_id:
        told = f"production is bound to {bound.location} ({bound.lake_id}), and KALSHI_LAKE is {storage.location}"
        yield failed("lake of production", f"{told}: correct it, or run kalshi-data lake bind", (EXPORTER,))
    else:
        yield judged("lake of production", f"production is bound to {bound.location}", ok=True)


def _binding_of_gatherer(settings: Settings, storage: Storage, known: binding.Identity | None) -> Iterator[Check]:
    if settings.ts_dsn is None:
        return
    subject = "lake of the gatherer"
    try:
        with connected(settings.ts_dsn, "doctor") as connection:
            bound = binding.bound_lake(connection)
    except OperatorError as error:
        yield note(subject, f"not known: {error.what}")
        return
    if bound is None:
        yield note(
            subject,
            "none: an archiver binds its database to the first one; until then it drops rows that are not archived",
        )
    elif bound.lake_id == binding.UNKNOWN:
        yield note(subject, f"{bound.location}, which was never reached")
    elif known is None or bound.lake_id != known.lake_id:
        told = f"its database is bound to {bound.location} ({bound.lake_id}), and KALSHI_LAKE is {storage.location}"
        yield failed(subject, f"{told}: correct it, or run kalshi-data lake bind --raw", (ARCHIVER,))
    else:
        yield judged(subject, f"its database is bound to {bound.location}", ok=True)
