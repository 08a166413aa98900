"""The ledger: a database's table of exports, which lists the hours, and up to which row each is in one lake.

In: surveys of new rows, and results of exports and verifications. Out: the hours that have to be written or verified.
An advisory lock for each hour keeps two processes from writing it at the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2 import sql

from app.lake.layout import Dataset
from app.lake.parquet import WrittenFile
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn
from app.storage.arrivals import arrivals_from, is_disturbed, tables_with_noted_compression
from app.storage.tables import Table

# The survey finds hours with new rows. It reads the table by ingest_id, and only the times of its rows.

ROWS_AT_ONCE = 500_000
CHANGED_HOURS = sql.SQL("""
    SELECT date_bin('1 hour', {time}, 'epoch'), max(ingest_id), count(*)
    FROM (SELECT {time}, ingest_id FROM {table} WHERE ingest_id > %s ORDER BY ingest_id LIMIT %s) AS ahead
    GROUP BY 1
""")


class ChangedHours(NamedTuple):
    after_ingest_id: int
    through_ingest_id: int
    hours: list[tuple[datetime, int]]  # each with its last row's ingest_id
    has_more: bool


def survey(session: Connection, table: Table, after_ingest_id: int, rows_at_once: int = ROWS_AT_ONCE) -> ChangedHours:
    """Return the hours that have rows after this ingest_id. The session is one for arrivals()."""
    query = CHANGED_HOURS.format(time=sql.Identifier(table.time_column), table=sql.Identifier(table.name))
    noted = tables_with_noted_compression(session)
    while True:
        with arrivals_from(session, table.name, after_ingest_id + 1, noted) as (cursor, reach):
            cursor.execute(query, (after_ingest_id, rows_at_once))
            found = cursor.fetchall()
        if not is_disturbed(session, reach):
            break
    through_ingest_id = max((last for _, last, _ in found), default=after_ingest_id)
    has_more = sum(rows for _, _, rows in found) == rows_at_once
    return ChangedHours(after_ingest_id, through_ingest_id, [(hour, last) for hour, last, _ in found], has_more)


OF_LAKE = "lake_id = %(lake)s AND table_name = %(name)s"
OF_HOUR = f"{OF_LAKE} AND hour = %(hour)s"
CURSOR = f"SELECT ingest_id FROM export_cursors WHERE {OF_LAKE}"  # noqa: S608 - constants, as below
# If two surveys run at the same time, one finds the cursor moved and adds nothing.
ADVANCE = """
    INSERT INTO export_cursors AS known (lake_id, table_name, ingest_id) VALUES (%(lake)s, %(name)s, %(through)s)
    ON CONFLICT (lake_id, table_name) DO UPDATE SET ingest_id = excluded.ingest_id WHERE known.ingest_id = %(after)s
"""
NOTE = """
    INSERT INTO exports AS known (lake_id, table_name, hour, through_ingest_id, row_count, manifest, changed_through)
    VALUES (%(lake)s, %(name)s, %(hour)s, 0, 0, '', %(last)s)
    ON CONFLICT (lake_id, table_name, hour) DO UPDATE SET
        changed_through = greatest(known.changed_through, excluded.changed_through), changed_at = now()
"""
IS_UNFINISHED = f"""
    {OF_LAKE} AND (through_ingest_id < changed_through OR verified_at IS NULL)
    AND greatest(hour + INTERVAL '1 hour', changed_at) + %(settle)s * INTERVAL '1 second' <= now()
"""
UNFINISHED = f"""
    SELECT hour, through_ingest_id < changed_through FROM exports
    WHERE {IS_UNFINISHED} AND coalesce(retry_at <= now(), TRUE) ORDER BY hour LIMIT 20
"""  # noqa: S608
EXPORT_BACKLOG = f"""
    SELECT coalesce(extract(epoch FROM now() - min(hour)), 0)::BIGINT, count(failure) FROM exports
    WHERE {IS_UNFINISHED}
"""  # noqa: S608
HOURS = f"SELECT hour FROM exports WHERE {OF_LAKE} AND hour >= %(start)s AND hour < %(end)s ORDER BY hour"  # noqa: S608
CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
# While an hour is being written, neither the object nor its ledger entry is valid. A transaction that withdraws a row
# meanwhile sets this to 0, which shows that the rows just read are no longer the hour's.
BEING_WRITTEN = -1
BEGIN = f"""
    UPDATE exports SET through_ingest_id = {BEING_WRITTEN}, verified_at = NULL WHERE {OF_HOUR} RETURNING changed_through
"""  # noqa: S608
IS_BEGUN = f"SELECT FROM exports WHERE {OF_HOUR} AND through_ingest_id = {BEING_WRITTEN}"
FINISH = f"""
    UPDATE exports SET
        through_ingest_id = %(through)s, row_count = %(rows)s, manifest = %(manifest)s, sha256 = %(sha256)s,
        size_bytes = %(size_bytes)s, exported_at = now(), retry_at = NULL
    WHERE {OF_HOUR} AND through_ingest_id = {BEING_WRITTEN}
"""  # noqa: S608
VERIFIED = f"""
    UPDATE exports SET verified_at = now(), failures = 0, failure = NULL, retry_at = NULL
    WHERE {OF_HOUR} AND through_ingest_id = %(through)s
"""  # noqa: S608
WRITTEN = f"""
    SELECT through_ingest_id, sha256 FROM exports
    WHERE {OF_HOUR} AND through_ingest_id > 0 AND through_ingest_id >= changed_through
"""  # noqa: S608
HAS_WRITTEN = f"SELECT FROM exports WHERE {OF_HOUR} AND manifest <> ''"
# An hour without an entry gets one: its rows lie in the lake.
REOPEN = """
    INSERT INTO exports (lake_id, table_name, hour, through_ingest_id, row_count, manifest, changed_through)
    VALUES (%(lake)s, %(name)s, %(hour)s, 0, 0, '', 1)
    ON CONFLICT (lake_id, table_name, hour) DO UPDATE SET through_ingest_id = 0, verified_at = NULL
"""
# Computed where it is stored, and not by a Backoff: all exporters of the database postpone the same hours.
FAILED = f"""
    UPDATE exports SET
        failures = failures + 1, failure = left(%(reason)s, 2000),
        retry_at = now() + least(30 * 2 ^ least(failures, 10), 900) * INTERVAL '1 second'
    WHERE {OF_HOUR}
"""  # noqa: S608


class Unfinished(NamedTuple):
    hour: datetime
    is_to_be_written: bool  # False: it is to be verified


class ExportBacklog(NamedTuple):
    """How far a table is behind in the lake."""

    oldest_seconds: int  # age of its oldest unfinished hour; 0: there is no unfinished hour
    failing_hours: int


class WrittenHour(NamedTuple):
    through_ingest_id: int
    sha256: str  # '': unknown


class ExportLedger:
    """The ledger of one lake, on one connection to the database whose rows the lake has. Claims last until they are
    returned or the connection is lost."""

    def __init__(self, connection: Connection, lake_id: UUID) -> None:
        self._connection = connection
        self._lake = str(lake_id)

    def surveyed_through(self, dataset: Dataset) -> int:
        row = self.row(CURSOR, name=dataset.name)
        return int(row[0]) if row else 0

    def note(self, dataset: Dataset, changes: ChangedHours) -> None:
        of = {"lake": self._lake, "name": dataset.name}
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(ADVANCE, {**of, "through": changes.through_ingest_id, "after": changes.after_ingest_id})
            if cursor.rowcount:
                for hour, last_ingest_id in changes.hours:
                    cursor.execute(NOTE, {**of, "hour": hour, "last": last_ingest_id})

    def unfinished(self, dataset: Dataset, settle_seconds: float) -> list[Unfinished]:
        """Return the oldest hours that have settled and are not written or not verified, without the ones whose retry
        is due later."""
        return [Unfinished(*row) for row in self.rows(UNFINISHED, name=dataset.name, settle=settle_seconds)]

    def backlog(self, dataset: Dataset, settle_seconds: float) -> ExportBacklog:
        """Return how far the hours that have settled are behind."""
        return ExportBacklog(*(self.row(EXPORT_BACKLOG, name=dataset.name, settle=settle_seconds) or (0, 0)))

    def hours(self, dataset: Dataset, start: datetime, end: datetime) -> list[datetime]:
        return [hour for (hour,) in self.rows(HOURS, name=dataset.name, start=start, end=end)]

    @contextmanager
    def claimed(self, dataset: Dataset, hour: datetime) -> Iterator[bool]:
        """Hold the hour's lock while the block runs, so that no two processes write it. Yield whether it was free."""
        name = f"exporting {dataset.name} {hour.isoformat()} to {self._lake}"
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(CLAIM, (name,))
            is_ours = bool((cursor.fetchone() or (False,))[0])
        try:
            yield is_ours
        finally:
            if is_ours and not self._connection.closed:
                self._connection.rollback()
                with self._connection as transaction, transaction.cursor() as cursor:
                    cursor.execute(GIVE_BACK, (name,))

    def begin(self, dataset: Dataset, hour: datetime) -> int:
        """Mark the hour as being written. Return up to which row it is known: rows read after this call include all
        rows up to it."""
        row = self.row(BEGIN, name=dataset.name, hour=hour)
        return int(row[0]) if row else 0

    def is_begun(self, dataset: Dataset, hour: datetime) -> bool:
        """Return whether the hour is still being written: no transaction has reset it since begin()."""
        return self.row(IS_BEGUN, name=dataset.name, hour=hour) is not None

    def finish(self, dataset: Dataset, hour: datetime, through_ingest_id: int, written: WrittenFile) -> bool:
        """Record the written hour. Return False if a row was withdrawn meanwhile, and the hour has to be written
        again."""
        figures = {"rows": written.rows, "sha256": written.sha256, "size_bytes": written.size_bytes}
        of = {"name": dataset.name, "hour": hour, "manifest": dataset.manifest_key(hour), "through": through_ingest_id}
        return self.change(FINISH, **of, **figures)

    def written(self, dataset: Dataset, hour: datetime) -> WrittenHour | None:
        """Return what was written of the hour. Return None if it has to be written, as far as the ledger knows."""
        row = self.row(WRITTEN, name=dataset.name, hour=hour)
        return WrittenHour(*row) if row else None

    def verified(self, dataset: Dataset, hour: datetime, through_ingest_id: int) -> bool:
        return self.change(VERIFIED, name=dataset.name, hour=hour, through=through_ingest_id)

    def has_written(self, dataset: Dataset, hour: datetime) -> bool:
        return self.row(HAS_WRITTEN, name=dataset.name, hour=hour) is not None

    def reopen(self, dataset: Dataset, hour: datetime) -> None:
        """Mark the hour to be written again."""
        self.change(REOPEN, name=dataset.name, hour=hour)

    def failed(self, dataset: Dataset, hour: datetime, reason: str) -> None:
        """Schedule a retry of the hour: the delay doubles with each failure, up to a quarter of an hour."""
        self.note_failure(dataset.name, hour, reason)

    def note_failure(self, name: str, hour: datetime, reason: str) -> None:
        self.change(FAILED, name=name, hour=hour, reason=reason)

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(query, {"lake": self._lake, **values})
            return cursor.fetchall()

    def row(self, query: str, **values: object) -> tuple[Any, ...] | None:
        return next(iter(self.rows(query, **values)), None)

    def change(self, statement: str, **values: object) -> bool:
        """Run the statement. Return whether it changed a row."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(statement, {"lake": self._lake, **values})
            return cursor.rowcount > 0


@contextmanager
def open_ledger(source: Dsn, lake_id: UUID) -> Iterator[ExportLedger]:
    with connected(source, "lake ledger") as connection:
        yield ExportLedger(connection, lake_id)
