"""Write what production knows about the record into the lake: its coverage, and the series, events and markets.

In: production's judgements and metadata, and the ledger. Out: one object an hour of coverage/, and one a day of each
folder of reference/. Every object is written, read back from the lake and compared with the rows that production gave;
only then does the ledger count it as verified. When something is learnt later, the object is written again.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from app.coverage.queries import judgements
from app.errors import DatabaseError, OperatorError
from app.lake.layout import Dataset
from app.lake.ledger import ExportLedger
from app.lake.parquet import Manifest, WrittenFile, duckdb_session, sha256_of, write_sorted
from app.lake.storage import Storage, StorageError, storage_errors
from app.metrics.lake import FAILURES
from app.postgres.connection import parameters
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.storage.tables import EVENTS, MARKETS, METADATA_TABLES, SERIES, Table
from kalshi_data.layout import DAY, EVENT_TABLES, FOLDERS, IDENTITY, day_of, hour_of
from kalshi_data.schema import schema_of

log = logs.get(__name__)

COVERAGE = Dataset("coverage", Table("coverage", "hour_start", ()), FOLDERS["coverage"])
REFERENCE = tuple(Dataset(table.name, table, FOLDERS[table.name], is_daily=True) for table in METADATA_TABLES)

# Markets that were open in the day or changed in it, with their events and series. A day's last object has their state
# at its end; what happens to a market later is in a later day's.
OF_DAY = """
    SELECT ticker, event_ticker FROM markets
    WHERE coalesce(open_time, '-infinity') < '{end}'
        AND (coalesce(close_time, 'infinity') >= '{start}' OR updated_at >= '{start}')
"""
REFERENCE_ROWS = {
    MARKETS.name: f"SELECT {{columns}} FROM markets WHERE ticker IN (SELECT ticker FROM ({OF_DAY}) AS m)",  # noqa: S608
    EVENTS.name: (
        f"SELECT {{columns}} FROM events WHERE event_ticker IN (SELECT event_ticker FROM ({OF_DAY}) AS m) "  # noqa: S608
        "OR (updated_at >= '{start}' AND updated_at < '{end}')"
    ),
    SERIES.name: "SELECT {columns} FROM series",
}

# The ledger counts these objects by times in microseconds, where the others have ingest_ids: of coverage, when the hour
# was judged. Hours that go on are judged again and again, and are written once they are settled, or long over.
NOTE_COVERAGE = """
    INSERT INTO exports AS known (lake_id, table_name, hour, through_ingest_id, row_count, manifest, changed_through)
    SELECT %(lake)s, 'coverage', h.hour, 0, 0, '', (extract(epoch FROM h.judged_at) * 1000000)::BIGINT
    FROM coverage_known AS h
    WHERE h.judged_at IS NOT NULL AND (
        -- Production has forgotten what it knew of older hours' books: what the lake has of them stays.
        h.hour >= (SELECT books_since FROM coverage_horizon) OR NOT EXISTS (
            SELECT FROM exports AS e WHERE e.lake_id = %(lake)s AND e.table_name = 'coverage' AND e.hour = h.hour
        )
    ) AND (
        (h.hour >= %(start)s::TIMESTAMPTZ AND h.hour < %(end)s::TIMESTAMPTZ)
        OR (h.hour + INTERVAL '1 hour' <= now() AND (h.is_settled OR h.hour < now() - INTERVAL '3 hours'))
    ) AND NOT EXISTS (
        SELECT FROM exports AS e
        WHERE e.lake_id = %(lake)s AND e.table_name = 'coverage' AND e.hour = h.hour
            AND e.changed_through >= (extract(epoch FROM h.judged_at) * 1000000)::BIGINT
    )
    ON CONFLICT (lake_id, table_name, hour) DO UPDATE SET
        changed_through = greatest(known.changed_through, excluded.changed_through), changed_at = now()
"""
# Of reference data: up to which time the day is in the lake. Days are those with exported events, and today, which is
# written once an hour.
NOTE_REFERENCE = """
    INSERT INTO exports AS known (lake_id, table_name, hour, through_ingest_id, row_count, manifest, changed_through)
    SELECT %(lake)s, name, day, 0, 0, '', reached
    FROM (
        SELECT date_bin('1 day', hour, 'epoch') AS day FROM exports
        WHERE lake_id = %(lake)s AND table_name = ANY(%(tables)s)
        UNION SELECT date_bin('1 day', now(), 'epoch')
    ) AS days
    CROSS JOIN unnest(%(names)s) AS names (name)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM CASE
            WHEN day + INTERVAL '1 day' > now()
                AND day > %(start)s::TIMESTAMPTZ - INTERVAL '1 day' AND day < %(end)s::TIMESTAMPTZ THEN now()
            ELSE least(day + INTERVAL '1 day', date_bin('1 hour', now(), 'epoch'))
        END)::BIGINT * 1000000 AS reached
    ) AS times
    WHERE reached > extract(epoch FROM day)::BIGINT * 1000000 AND NOT EXISTS (
        SELECT FROM exports AS e
        WHERE e.lake_id = %(lake)s AND e.table_name = name AND e.hour = day AND e.changed_through >= reached
    )
    ON CONFLICT (lake_id, table_name, hour) DO UPDATE SET changed_through = excluded.changed_through, changed_at = now()
"""
DUE = """
    SELECT hour FROM exports
    WHERE lake_id = %(lake)s AND table_name = %(name)s AND through_ingest_id < changed_through
        AND coalesce(retry_at <= now(), TRUE)
    ORDER BY hour LIMIT 1
"""
DIFFERENCE = """
    SELECT count(*) FROM (
        (SELECT {columns} FROM given EXCEPT ALL SELECT {columns} FROM stored)
        UNION ALL (SELECT {columns} FROM stored EXCEPT ALL SELECT {columns} FROM given)
    ) AS different
"""


class KnowledgeExport:
    """Coverage and reference data of one production in one lake."""

    def __init__(self, source: Dsn, ledger: ExportLedger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def note(self, start: datetime | None = None, end: datetime | None = None) -> None:
        """Note what has changed. Hours from `start` until `end` are noted even if they go on."""
        asked = {"start": start and hour_of(start), "end": end}
        names = [dataset.name for dataset in REFERENCE]
        self._ledger.change(NOTE_COVERAGE, **asked)
        self._ledger.change(NOTE_REFERENCE, **asked, names=names, tables=list(EVENT_TABLES))

    def write_next(self) -> bool:
        """Write and verify at most one object of each kind. Return True while there may be more."""
        # A list, not a generator: any() must not skip the others once one has more to do.
        has_more = [self._write_one(dataset) for dataset in (COVERAGE, *REFERENCE)]
        return any(has_more)

    def write(self, start: datetime, end: datetime) -> int:
        """Write and verify everything that is noted, and the hours from `start` until `end` as far as they are known.
        Return how many rounds it took."""
        self.note(start, end)
        rounds = 0
        while self.write_next():
            rounds += 1
        return rounds

    def _write_one(self, dataset: Dataset) -> bool:
        due = self._ledger.row(DUE, name=dataset.name)
        if due is None:
            return False
        (hour,) = due
        with self._ledger.claimed(dataset, hour) as is_ours:
            if not is_ours:
                return False
            try:
                self._export(dataset, hour)
            except OperatorError as error:
                FAILURES.inc()
                log.error("hour not exported", dataset=dataset.name, hour=hour.isoformat(), reason=str(error))  # noqa: TRY400
                self._ledger.failed(dataset, hour, str(error))
        return True

    def _export(self, dataset: Dataset, hour: datetime) -> None:
        through = self._ledger.begin(dataset, hour)
        with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as name:
            what = f"{dataset.name} of {hour:%Y-%m-%dT%H}"
            with storage_errors(what), duckdb_session(Path(name)) as session:
                with _rows(self._source, _query(dataset, hour)) as rows:
                    session.register("fresh", rows)
                    session.execute("CREATE TEMP TABLE given AS FROM fresh")
                    session.unregister("fresh")
                written = self._put(session, dataset, hour, Path(name))
        self._ledger.finish(dataset, hour, through, written)
        self._ledger.verified(dataset, hour, through)
        log.info("exported", dataset=dataset.name, hour=hour.isoformat(), rows=written.rows)

    def _put(self, session: duckdb.DuckDBPyConnection, dataset: Dataset, hour: datetime, folder: Path) -> WrittenFile:
        """Write the given rows, and read them back from the lake. Raise StorageError unless they are the same."""
        keys = (dataset.object_key(hour), dataset.manifest_key(hour))
        versions = [self._storage.version(key) for key in keys]
        schema, path = schema_of(dataset.name), folder / "written.parquet"
        written = write_sorted(session, "FROM given", schema, IDENTITY[dataset.name], path)
        self._storage.put_file(keys[0], path, versions[0])
        self._storage.put(keys[1], Manifest.of(keys[0], written).encode(), versions[1])
        back = folder / "back.parquet"
        if not self._storage.fetch(keys[0], back) or sha256_of(back) != written.sha256:
            raise StorageError(f"{keys[0]} is not in the lake as it was written.")
        session.read_parquet(str(back), hive_partitioning=False).create_view("stored", replace=True)
        (different,) = session.execute(DIFFERENCE.format(columns=", ".join(schema.names))).fetchall()[0]
        if different:
            raise StorageError(f"{keys[0]} differs from production.", f"{different} rows are on one side alone.")
        return written


def _query(dataset: Dataset, hour: datetime) -> str:
    if dataset is COVERAGE:
        return judgements(f"= '{hour.isoformat()}'")
    columns = ", ".join(
        "details::TEXT AS details" if name == "details" else name for name in dataset.table.column_names
    )
    day = day_of(hour)
    return REFERENCE_ROWS[dataset.name].format(columns=columns, start=day.isoformat(), end=(day + DAY).isoformat())


@contextmanager
def _rows(source: Dsn, query: str) -> Iterator[pa.RecordBatchReader]:
    try:
        with dbapi.connect(parameters(source, "exporter")) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                yield reader
    except (dbapi.Error, duckdb.Error) as error:
        raise DatabaseError("Reading coverage or metadata failed.", str(error).strip()) from error
