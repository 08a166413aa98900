"""Production's table of exports: which hours there are, and up to which row each is in the lake."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from app.lake.dataset import Dataset
from app.lake.survey import Changes
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn

CURSOR = "SELECT ingest_id FROM export_cursors WHERE table_name = %s"
# Of two surveys at the same time one finds the cursor moved, and adds nothing.
ADVANCE = """
    INSERT INTO export_cursors AS known (table_name, ingest_id) VALUES (%s, %s)
    ON CONFLICT (table_name) DO UPDATE SET ingest_id = excluded.ingest_id WHERE known.ingest_id = %s
"""
NOTE = """
    INSERT INTO exports AS known (table_name, hour, through_ingest_id, row_count, manifest, changed_through)
    VALUES (%s, %s, 0, 0, '', %s)
    ON CONFLICT (table_name, hour) DO UPDATE SET
        changed_through = greatest(known.changed_through, excluded.changed_through), changed_at = now()
"""
UNFINISHED = """
    SELECT hour, through_ingest_id < changed_through, extract(epoch FROM now() - hour)::BIGINT FROM exports
    WHERE table_name = %s AND (through_ingest_id < changed_through OR verified_at IS NULL)
        AND greatest(hour + INTERVAL '1 hour', changed_at) + %s * INTERVAL '1 second' <= now()
    ORDER BY hour LIMIT 20
"""
HOURS = "SELECT hour FROM exports WHERE table_name = %s AND hour >= %s AND hour < %s ORDER BY hour"
CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
# While it is being written, neither the object nor what was known of it is good for anything. Whoever withdraws a row
# meanwhile sets it to 0, and then what we have read is not the hour any more.
BEING_WRITTEN = -1
BEGIN = """
    UPDATE exports SET through_ingest_id = %s, verified_at = NULL WHERE table_name = %s AND hour = %s
    RETURNING changed_through
"""
FINISH = """
    UPDATE exports SET through_ingest_id = %s, row_count = %s, manifest = %s, exported_at = now()
    WHERE table_name = %s AND hour = %s AND through_ingest_id = %s
"""
VERIFIED = """
    UPDATE exports SET verified_at = now() WHERE table_name = %s AND hour = %s AND through_ingest_id = %s
"""
WRITTEN = """
    SELECT through_ingest_id FROM exports
    WHERE table_name = %s AND hour = %s AND through_ingest_id > 0 AND through_ingest_id >= changed_through
"""
# A day's candles are a row of their own: made of the lake as it was at that time.
CANDLE_DAY = """
    SELECT day FROM (
        SELECT date_bin('1 day', hour, 'epoch') AS day, max(exported_at) AS exported_at FROM exports
        WHERE table_name IN ('trades', 'tickers') AND through_ingest_id > 0 GROUP BY 1
    ) AS days
    WHERE exported_at >= coalesce(
        (SELECT made.exported_at FROM exports AS made WHERE made.table_name = 'ohlcv' AND made.hour = day), '-infinity'
    )
    ORDER BY day LIMIT 1
"""
CANDLES_MADE = """
    INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, exported_at, verified_at)
    VALUES ('ohlcv', %s, 0, %s, '', %s, %s)
    ON CONFLICT (table_name, hour) DO UPDATE SET
        row_count = excluded.row_count, exported_at = excluded.exported_at, verified_at = excluded.verified_at
"""
HAS_WRITTEN = "SELECT FROM exports WHERE table_name = %s AND hour = %s AND manifest <> ''"
REOPEN = "UPDATE exports SET through_ingest_id = 0, verified_at = NULL WHERE table_name = %s AND hour = %s"


class Unfinished(NamedTuple):
    hour: datetime
    is_to_be_written: bool  # else it is to be verified
    age_seconds: int


class Ledger:
    """One connection to production. What is claimed stays ours until it is given back, or the connection is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def surveyed_through(self, dataset: Dataset) -> int:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(CURSOR, (dataset.name,))
            return int((cursor.fetchone() or (0,))[0])

    def note(self, dataset: Dataset, changes: Changes) -> None:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(ADVANCE, (dataset.name, changes.through_ingest_id, changes.after_ingest_id))
            if cursor.rowcount:
                for hour, last_ingest_id in changes.hours:
                    cursor.execute(NOTE, (dataset.name, hour, last_ingest_id))

    def unfinished(self, dataset: Dataset, settle_seconds: float) -> list[Unfinished]:
        """The oldest hours that have settled, and are not written or not verified."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(UNFINISHED, (dataset.name, settle_seconds))
            return [Unfinished(*row) for row in cursor.fetchall()]

    def hours(self, dataset: Dataset, start: datetime, end: datetime) -> list[datetime]:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(HOURS, (dataset.name, start, end))
            return [hour for (hour,) in cursor.fetchall()]

    @contextmanager
    def claimed(self, dataset: Dataset, hour: datetime) -> Iterator[bool]:
        """Whether the hour is ours while the block runs: no two processes write it."""
        name = f"exporting {dataset.name} {hour.isoformat()}"
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
        """Before the rows are read. Up to which row the hour is known: whoever reads from now on has all of these."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(BEGIN, (BEING_WRITTEN, dataset.name, hour))
            return int((cursor.fetchone() or (0,))[0])

    def finish(self, dataset: Dataset, hour: datetime, through_ingest_id: int, rows: int) -> bool:
        """False: a row was withdrawn meanwhile, and the hour is to be written once more."""
        where = (dataset.name, hour, BEING_WRITTEN)
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(FINISH, (through_ingest_id, rows, dataset.manifest_key(hour), *where))
            return cursor.rowcount == 1

    def written_through(self, dataset: Dataset, hour: datetime) -> int | None:
        """None: it is to be written, as far as we know."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(WRITTEN, (dataset.name, hour))
            row = cursor.fetchone()
        return int(row[0]) if row else None

    def verified(self, dataset: Dataset, hour: datetime, through_ingest_id: int) -> bool:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(VERIFIED, (dataset.name, hour, through_ingest_id))
            return cursor.rowcount == 1

    def day_for_candles(self) -> tuple[datetime, datetime] | None:
        """A day of which trades or quotes were written since its candles were made; and what time it is there."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(f"SELECT day, now() FROM ({CANDLE_DAY}) AS next")  # noqa: S608 - a constant
            return cursor.fetchone()

    def candles_made(self, day: datetime, rows: int, as_of: datetime) -> None:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(CANDLES_MADE, (day, rows, as_of, as_of))

    def has_written(self, dataset: Dataset, hour: datetime) -> bool:
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(HAS_WRITTEN, (dataset.name, hour))
            return cursor.fetchone() is not None

    def reopen(self, dataset: Dataset, hour: datetime) -> None:
        """It is to be written once more."""
        with self._connection as transaction, transaction.cursor() as cursor:
            cursor.execute(REOPEN, (dataset.name, hour))


@contextmanager
def open_ledger(production: Dsn) -> Iterator[Ledger]:
    with connected(production, "lake ledger") as connection:
        yield Ledger(connection)
