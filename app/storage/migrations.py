"""Apply forward-only migrations: numbered SQL files, each applied once, in one transaction, and never changed again."""

import hashlib
import importlib.resources
import re
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from typing import NamedTuple

import psycopg2

from app.errors import MigrationError
from app.postgres.connection import Connection, value_of
from app.postgres.databases import DatabaseKind
from app.runtime import logs

log = logs.get(__name__)

FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
LOCK = "kalshi-data migrations"

TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""


class Migration(NamedTuple):
    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_of(kind: DatabaseKind) -> list[Migration]:
    """Return a kind's migrations by number across all folders, so that every database takes the same path."""
    root = importlib.resources.files("sql")
    found = (_read(file) for folder in kind.folders for file in (root / folder).iterdir())
    return sorted(migration for migration in found if migration)


def refuse_another_kind(connection: Connection, kind: DatabaseKind) -> None:
    """Raise MigrationError if the database's history is that of another kind. A kind's last migrations may be missing,
    or a later version's be there."""
    applied, known = applied_migrations(connection), migrations_of(kind)
    connection.rollback()
    pending(applied, known)


def pending(applied: dict[int, tuple[str, str]], known: Iterable[Migration]) -> list[Migration]:
    """Return the migrations still to be applied. Raise MigrationError if the database's history does not match ours."""
    known = list(known)
    foreign = set(applied) - {migration.number for migration in known} - set(later(applied, known))
    if foreign:
        raise MigrationError(
            "The database has migrations that do not belong to it.",
            ", ".join(applied[number][0] for number in sorted(foreign)),
            "correct the settings: one database is named twice, or for the wrong purpose.",
        )
    for migration in known:
        if migration.number in applied and applied[migration.number][1] != migration.sha256:
            raise MigrationError(
                f"The migration {migration.name} was changed after it had been applied.",
                f"Applied as {applied[migration.number][1][:12]}, now {migration.sha256[:12]}.",
                "restore the file as it was, and put the change into a new migration.",
            )
    waiting = [migration for migration in known if migration.number not in applied]
    if waiting and applied and waiting[0].number < max(applied):
        raise MigrationError(
            f"The migration {waiting[0].name} has a lower number than one that is already applied.",
            f"The last one applied is {max(applied):04}.",
            "give it a higher number.",
        )
    return waiting


def later(applied: dict[int, tuple[str, str]], known: Iterable[Migration]) -> dict[int, str]:
    """Return the names of migrations that a later version applied.

    This version keeps working with them: migrations only add, and what they add is optional.
    """
    last = max((migration.number for migration in known), default=0)
    return {number: name for number, (name, _) in sorted(applied.items()) if number > last}


def applied_migrations(connection: Connection) -> dict[int, tuple[str, str]]:
    if value_of(connection, "SELECT to_regclass('schema_migrations')") is None:
        return {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT number, name, sha256 FROM schema_migrations")
        return {number: (name, sha256) for number, name, sha256 in cursor.fetchall()}


def migrate(connection: Connection, migrations: list[Migration]) -> list[Migration]:
    """Apply the missing migrations and return them. An advisory lock allows only one process at a time per database."""
    with connection.cursor() as cursor:
        # The lock belongs to the session: it is held across the commit of each migration.
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (LOCK,))
        try:
            cursor.execute(TABLE)
            connection.commit()
            applied = applied_migrations(connection)
            waiting = pending(applied, migrations)
            if names := later(applied, migrations):
                log.warning("database was migrated by a later version", names=[*names.values()])
            for migration in waiting:
                _apply(connection, migration)
        finally:
            # After an error the transaction is aborted, and the unlock would fail in it.
            connection.rollback()
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (LOCK,))
            connection.commit()
    return waiting


def _apply(connection: Connection, migration: Migration) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute(migration.text)
        except psycopg2.Error as error:
            raise MigrationError(
                f"The migration {migration.name} failed and was rolled back.",
                str(error).strip(),
                "correct the cause and migrate again; earlier migrations stay applied.",
            ) from error
        cursor.execute(
            "INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.sha256),
        )
    connection.commit()
    log.info("migration applied", migration=migration.name, database=connection.info.dbname)


def _read(file: Traversable) -> Migration | None:
    match = FILE_NAME.fullmatch(file.name)
    return Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text()) if match else None
