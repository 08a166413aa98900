"""Make the candles of whole days from the lake's own trades and quotes, when these have changed.

In: the ledger's exported hours and their objects. Out: one object for each interval and day in aggregates/ohlcv.
"""

import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from app.errors import OperatorError
from app.lake import candles
from app.lake.engines import DuckDbEngine
from app.lake.layout import PROCESSED, schema_of
from app.lake.ledger import ExportLedger
from app.lake.parquet import Manifest, duckdb_session, write_sorted
from app.lake.storage import Storage, StorageError, storage_errors
from app.metrics.lake import FAILURES
from app.runtime import logs
from kalshi_data.layout import DAY, hours_between, manifest_key

log = logs.get(__name__)

# A day's candles have a ledger row of their own, with the time at which the lake was read. They wait, at most an
# hour, for hours of the day that have ended and are about to be written: each of these would cause them to be made
# again.
CANDLE_DAY = """
    SELECT day, now() FROM (
        SELECT
            date_bin('1 day', hour, 'epoch') AS day,
            max(exported_at) FILTER (WHERE through_ingest_id > 0) AS exported_at,
            bool_or(
                through_ingest_id < changed_through AND failure IS NULL AND hour + INTERVAL '1 hour' <= now()
            ) AS is_incomplete
        FROM exports WHERE lake_id = %(lake)s AND table_name IN ('trades', 'tickers') GROUP BY 1
    ) AS days
    LEFT JOIN exports AS made ON made.lake_id = %(lake)s AND made.table_name = 'ohlcv' AND made.hour = day
    WHERE days.exported_at >= coalesce(made.exported_at, '-infinity') AND coalesce(made.retry_at <= now(), TRUE)
        AND (NOT is_incomplete OR days.exported_at < now() - INTERVAL '1 hour')
    ORDER BY day LIMIT 1
"""
CANDLES_MADE = """
    INSERT INTO exports (lake_id, table_name, hour, through_ingest_id, row_count, manifest, exported_at, verified_at)
    VALUES (%(lake)s, 'ohlcv', %(day)s, 0, %(rows)s, '', %(as_of)s, %(as_of)s)
    ON CONFLICT (lake_id, table_name, hour) DO UPDATE SET
        row_count = excluded.row_count, exported_at = excluded.exported_at, verified_at = excluded.verified_at,
        failures = 0, failure = NULL, retry_at = NULL
"""
CANDLES_MISSING = """
    INSERT INTO exports (lake_id, table_name, hour, through_ingest_id, row_count, manifest, exported_at)
    VALUES (%(lake)s, 'ohlcv', %(hour)s, 0, 0, '', 'epoch') ON CONFLICT DO NOTHING
"""


class CandleDays:
    """The days whose candles are due in one lake. A day that fails is retried later and does not delay the others."""

    def __init__(self, ledger: ExportLedger, storage: Storage) -> None:
        self._ledger = ledger
        self._storage = storage

    def make_next(self) -> bool:
        """Make the candles of one day whose trades or quotes have changed. Return False if there is none."""
        due = self._ledger.row(CANDLE_DAY)
        if due is None:
            return False
        day, as_of = due
        try:
            rows = make_candles(self._storage, day)
        except OperatorError as error:
            self._failed(day, error)
        else:
            self._ledger.change(CANDLES_MADE, day=day, rows=rows, as_of=as_of)
            log.info("candles computed", day=f"{day:%Y-%m-%d}", rows=rows)
        return True

    def _failed(self, day: datetime, error: OperatorError) -> None:
        FAILURES.inc()
        log.error("candles not computed", day=f"{day:%Y-%m-%d}", reason=str(error))
        self._ledger.change(CANDLES_MISSING, hour=day)
        self._ledger.note_failure("ohlcv", day, str(error))


def candles_key(interval: str, day: datetime) -> str:
    return f"aggregates/ohlcv/interval={interval}/date={day:%Y-%m-%d}/part-0.parquet"


def make_candles(storage: Storage, day: datetime) -> int:
    """Make a day's candles. Return how many, of all intervals together. The same rows always give the same bytes."""
    rows = 0
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as name, storage_errors(f"Candles of {day:%Y-%m-%d}"):
        folder = Path(name)
        datasets = {name: PROCESSED[name] for name in ("trades", "tickers")}
        # Each object is read once, for all intervals.
        files = {
            name: list(fetched(storage, map(dataset.object_key, hours_between(day, day + DAY)), folder))
            for name, dataset in datasets.items()
        }
        schemas = {name: schema_of(dataset.table) for name, dataset in datasets.items()}
        for interval in candles.INTERVALS:
            key, path = candles_key(interval, day), folder / f"{interval}.parquet"
            versions = storage.version(key), storage.version(manifest_key(key))
            with duckdb_session(folder) as session:
                engine = DuckDbEngine(session)
                engine.create_views(files, schemas)
                written = write_sorted(session, candles.candles_query(interval), candles.SCHEMA, candles.ORDER, path)
            storage.put_file(key, path, versions[0])
            storage.put(manifest_key(key), Manifest.of(key, written).encode(), versions[1])
            rows += written.rows
    return rows


def fetched(storage: Storage, keys: Iterable[str], folder: Path) -> Iterator[str]:
    """Copy objects into a folder, under their keys. Yield the paths of the objects that exist."""
    for key in keys:
        if ".." in key.split("/") or key.startswith("/"):
            # Whoever may write to the bucket could otherwise replace any file of this host.
            what = f"The object {key!r} has a name that leads out of its folder."
            raise StorageError(what, fix="find out who wrote it, and remove it from the lake.")
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if storage.fetch(key, path):
            yield str(path)
