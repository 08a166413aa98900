"""Identify a lake, and bind a database to one: production, or a gatherer's own.

A lake's identity is an object in its root, written once by the first process that writes to the lake. The ledger names
it, so an hour that was exported to one lake does not count as exported to another. A database is bound to at most one
lake, and waits for that lake before it drops anything: app/storage/confirmation.py.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec

from app.lake.storage import ReplacedError, Storage, StorageError
from app.postgres.connection import Connection
from app.runtime import logs

log = logs.get(__name__)

KEY = "_identity.json"
UNKNOWN = UUID(int=0)  # marks ledger rows from before lakes were distinguished

NOTE_LAKE = "INSERT INTO lakes (lake_id, location) VALUES (%s, %s) ON CONFLICT DO NOTHING"
NOTE_LOCATION = "UPDATE lakes SET location = %(location)s WHERE lake_id = %(lake)s AND location <> %(location)s"
HAS_UNKNOWN = "SELECT EXISTS (SELECT FROM exports WHERE lake_id = %s AND manifest <> '')"
# Hours that the database still has are verified again: the object may be older than what was exported to another lake.
ADOPT_WRITTEN = """
    UPDATE exports SET
        lake_id = %(lake)s, verified_at = CASE
            WHEN hour + INTERVAL '1 hour' > (
                SELECT dropped_through FROM chunked_tables AS chunked WHERE chunked.table_name = exports.table_name
            ) THEN NULL ELSE verified_at
        END
    WHERE lake_id = %(unknown)s AND manifest = ANY (%(manifests)s)
"""
ADOPT_UNWRITTEN = "UPDATE exports SET lake_id = %(lake)s WHERE lake_id = %(unknown)s AND manifest = ''"
# If the lake lacks some hours, the table is surveyed from its first row, so that every hour still in the database is
# noted.
ADOPT_CURSORS = """
    UPDATE export_cursors SET lake_id = %(lake)s
    WHERE lake_id = %(unknown)s AND table_name NOT IN (SELECT table_name FROM exports WHERE lake_id = %(unknown)s)
"""
BOUND = "SELECT lake_id, location FROM lakes WHERE bound_at IS NOT NULL"
UNBIND = "UPDATE lakes SET bound_at = NULL WHERE bound_at IS NOT NULL AND lake_id <> %s"
RELEASE = "UPDATE lakes SET bound_at = NULL WHERE bound_at IS NOT NULL AND lake_id = %s"
BIND = "UPDATE lakes SET bound_at = now() WHERE lake_id = %s AND bound_at IS NULL"
BIND_FIRST = f"{BIND} AND NOT EXISTS (SELECT FROM lakes WHERE bound_at IS NOT NULL)"
# A gatherer's database is bound to the lake that its archiver is configured with, even before that lake was reached.
WANT = """
    INSERT INTO lakes (lake_id, location, bound_at)
    SELECT %(unknown)s, %(location)s, now() WHERE NOT EXISTS (SELECT FROM lakes WHERE bound_at IS NOT NULL)
    ON CONFLICT (lake_id) DO UPDATE SET location = excluded.location, bound_at = now()
"""
# What was noted for the lake before it was reached is noted again under its identity.
REACHED = (
    "DELETE FROM exports WHERE lake_id = %(unknown)s",
    "DELETE FROM export_cursors WHERE lake_id = %(unknown)s",
    "DELETE FROM lakes WHERE lake_id = %(unknown)s",
    "UPDATE lakes SET bound_at = now() WHERE lake_id = %(lake)s AND (SELECT count(bound_at) FROM lakes) = 0",
)
LAKES = """
    SELECT lake_id::TEXT, location, bound_at IS NOT NULL, count(exports.hour) FILTER (WHERE verified_at IS NOT NULL),
        count(exports.hour) FILTER (WHERE verified_at IS NULL)
    FROM lakes LEFT JOIN exports USING (lake_id) GROUP BY lakes.lake_id ORDER BY first_seen_at
"""
FAILING = """
    SELECT table_name, hour, failures, failure FROM exports
    WHERE failure IS NOT NULL ORDER BY hour, table_name LIMIT 100
"""


class Identity(msgspec.Struct, frozen=True):
    lake_id: UUID
    created_at: datetime


class Bound(NamedTuple):
    """The lake that a database is bound to."""

    lake_id: UUID
    location: str


class KnownLake(NamedTuple):
    lake_id: str
    location: str
    is_bound: bool
    verified: int  # hours
    unfinished: int

    @property
    def is_reached(self) -> bool:
        return self.lake_id != str(UNKNOWN)


class FailingHour(NamedTuple):
    table_name: str
    hour: datetime
    failures: int
    failure: str


def identity_of(storage: Storage) -> Identity:
    """Read a lake's identity. Give it one if it has none."""
    if (known := _read(storage)) is not None:
        return known
    try:
        storage.put(KEY, msgspec.json.encode(Identity(uuid4(), datetime.now(UTC))) + b"\n", None)
    except ReplacedError:
        log.info("another process created the lake's identity", lake=storage.location)
    if (written := _read(storage)) is None:
        raise StorageError(
            f"The lake at {storage.location} has no identity.", f"{KEY} was written, and is missing now."
        )
    return written


def known_identity(storage: Storage) -> Identity | None:
    """Read a lake's identity. Return None if it has none."""
    return _read(storage)


def register(connection: Connection, storage: Storage, lake_id: UUID) -> None:
    """Make a lake known to a database. A new lake adopts the older ledger rows whose manifests lie in it."""
    with connection, connection.cursor() as cursor:
        cursor.execute(NOTE_LAKE, (str(lake_id), storage.location))
        if not cursor.rowcount:
            cursor.execute(NOTE_LOCATION, {"lake": str(lake_id), "location": storage.location})
            return
        cursor.execute(HAS_UNKNOWN, (str(UNKNOWN),))
        if (cursor.fetchone() or (False,))[0]:
            adoption = {"lake": str(lake_id), "unknown": str(UNKNOWN), "manifests": list(storage.keys("_manifest"))}
            cursor.execute(ADOPT_WRITTEN, adoption)
            if adopted := cursor.rowcount:
                cursor.execute(ADOPT_UNWRITTEN, adoption)
                cursor.execute(ADOPT_CURSORS, adoption)
                log.info("ledger rows assigned to this lake", lake=storage.location, hours=adopted)


def bound_lake(connection: Connection) -> Bound | None:
    """Return the lake that a database is bound to. Return None if there is none: production then drops nothing, and a
    gatherer waits for no lake."""
    with connection, connection.cursor() as cursor:
        cursor.execute(BOUND)
        found = cursor.fetchone()
    return Bound(UUID(str(found[0])), found[1]) if found else None


def bind_first(connection: Connection, lake_id: UUID) -> bool:
    """Bind a database to a lake unless it is bound to one. Return whether this call bound it."""
    with connection, connection.cursor() as cursor:
        cursor.execute(BIND_FIRST, (str(lake_id),))
        return cursor.rowcount == 1


def bind(connection: Connection, lake_id: UUID) -> None:
    """Bind a database to this lake instead of the previous one."""
    with connection, connection.cursor() as cursor:
        cursor.execute(UNBIND, (str(lake_id),))
        cursor.execute(BIND, (str(lake_id),))


def release(connection: Connection, lake_id: UUID) -> bool:
    """Unbind a database from this lake. Return whether it was bound to it."""
    with connection, connection.cursor() as cursor:
        cursor.execute(RELEASE, (str(lake_id),))
        return cursor.rowcount == 1


def bind_by_location(timeseries: Connection, location: str) -> bool:
    """Bind a gatherer's database to a lake known only by its location. Return whether this call bound it."""
    with timeseries, timeseries.cursor() as cursor:
        cursor.execute(WANT, {"unknown": str(UNKNOWN), "location": location})
        return cursor.rowcount == 1


def bind_when_reached(timeseries: Connection, lake_id: UUID) -> None:
    """Bind a gatherer's database, if it waits for a lake that was not reached yet, to this one."""
    with timeseries, timeseries.cursor() as cursor:
        for statement in REACHED:
            cursor.execute(statement, {"unknown": str(UNKNOWN), "lake": str(lake_id)})


def unbind(connection: Connection) -> bool:
    """Bind a database to no lake. Return whether it was bound to one."""
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE lakes SET bound_at = NULL WHERE bound_at IS NOT NULL")
        return cursor.rowcount > 0


def known_lakes(connection: Connection) -> list[KnownLake]:
    with connection, connection.cursor() as cursor:
        cursor.execute(LAKES)
        return [KnownLake(*row) for row in cursor.fetchall()]


def failing_hours(connection: Connection) -> list[FailingHour]:
    """Return the oldest hours of any lake whose last attempt to write or read back failed."""
    with connection, connection.cursor() as cursor:
        cursor.execute(FAILING)
        return [FailingHour(*row) for row in cursor.fetchall()]


def _read(storage: Storage) -> Identity | None:
    content = storage.read(KEY)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Identity)
    except msgspec.DecodeError as error:
        fix = f"restore {KEY} as it was; without it, the ledgers of this lake are not found."
        raise StorageError(
            f"The identity of the lake at {storage.location} cannot be read.", str(error), fix
        ) from error
