"""Which lake this is, and which one a database is bound to: production, or a gatherer's own.

A lake's identity is an object in its root, written once by whoever writes to it first. The ledger is kept by it: an
hour that was exported to one lake is not taken for exported to another. A database is bound to one lake at most, and
waits for that one before it drops anything: app/storage/confirmation.py.
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
UNKNOWN = UUID(int=0)  # of the ledger's rows from before lakes were told apart

NOTE_LAKE = "INSERT INTO lakes (lake_id, location) VALUES (%s, %s) ON CONFLICT DO NOTHING"
NOTE_LOCATION = "UPDATE lakes SET location = %(location)s WHERE lake_id = %(lake)s AND location <> %(location)s"
HAS_UNKNOWN = "SELECT EXISTS (SELECT FROM exports WHERE lake_id = %s AND manifest <> '')"
# What the database still has is read back once more: the object may be older than what another lake was given.
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
# Where the lake lacks some hours, the table is surveyed from its first row: whatever the database still has is noted.
ADOPT_CURSORS = """
    UPDATE export_cursors SET lake_id = %(lake)s
    WHERE lake_id = %(unknown)s AND table_name NOT IN (SELECT table_name FROM exports WHERE lake_id = %(unknown)s)
"""
BOUND = "SELECT lake_id, location FROM lakes WHERE bound_at IS NOT NULL"
UNBIND = "UPDATE lakes SET bound_at = NULL WHERE bound_at IS NOT NULL AND lake_id <> %s"
RELEASE = "UPDATE lakes SET bound_at = NULL WHERE bound_at IS NOT NULL AND lake_id = %s"
BIND = "UPDATE lakes SET bound_at = now() WHERE lake_id = %s AND bound_at IS NULL"
BIND_FIRST = f"{BIND} AND NOT EXISTS (SELECT FROM lakes WHERE bound_at IS NOT NULL)"
# A gatherer's database is bound to the lake that its archiver was given, though nobody has reached it yet.
WANT = """
    INSERT INTO lakes (lake_id, location, bound_at)
    SELECT %(unknown)s, %(location)s, now() WHERE NOT EXISTS (SELECT FROM lakes WHERE bound_at IS NOT NULL)
    ON CONFLICT (lake_id) DO UPDATE SET location = excluded.location, bound_at = now()
"""
# What was noted for it until then is noted again, under its own name.
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
        log.info("another process gave the lake its identity", lake=storage.location)
    if (written := _read(storage)) is None:
        raise StorageError(f"The lake at {storage.location} has no identity.", f"{KEY} was written and is not there.")
    return written


def known_identity(storage: Storage) -> Identity | None:
    """Read a lake's identity. Return None if it has none."""
    return _read(storage)


def register(connection: Connection, storage: Storage, lake_id: UUID) -> None:
    """Make a lake known to a database. The first time it adopts what the ledger says of manifests that lie in it."""
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
                log.info("the ledger's hours belong to this lake", lake=storage.location, hours=adopted)


def bound_lake(connection: Connection) -> Bound | None:
    """Return the lake that a database is bound to. None: production drops nothing, a gatherer waits for no lake."""
    with connection, connection.cursor() as cursor:
        cursor.execute(BOUND)
        found = cursor.fetchone()
    return Bound(UUID(str(found[0])), found[1]) if found else None


def bind_first(connection: Connection, lake_id: UUID) -> bool:
    """Bind a database to a lake unless it is bound to one. Return whether it was done now."""
    with connection, connection.cursor() as cursor:
        cursor.execute(BIND_FIRST, (str(lake_id),))
        return cursor.rowcount == 1


def bind(connection: Connection, lake_id: UUID) -> None:
    """Bind a database to a lake, instead of the one it was bound to."""
    with connection, connection.cursor() as cursor:
        cursor.execute(UNBIND, (str(lake_id),))
        cursor.execute(BIND, (str(lake_id),))


def release(connection: Connection, lake_id: UUID) -> bool:
    """Have a database bound to this lake no more. Return whether it was."""
    with connection, connection.cursor() as cursor:
        cursor.execute(RELEASE, (str(lake_id),))
        return cursor.rowcount == 1


def want(timeseries: Connection, location: str) -> bool:
    """Bind a gatherer's database to a lake of which the location alone is known. Return whether it was done now."""
    with timeseries, timeseries.cursor() as cursor:
        cursor.execute(WANT, {"unknown": str(UNKNOWN), "location": location})
        return cursor.rowcount == 1


def reached(timeseries: Connection, lake_id: UUID) -> None:
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
    """The oldest hours that could not be written or read back when they were tried last, of any lake."""
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
        fix = f"put {KEY} back as it was; without it, the ledgers of this lake is not found."
        raise StorageError(
            f"The identity of the lake at {storage.location} cannot be read.", str(error), fix
        ) from error
