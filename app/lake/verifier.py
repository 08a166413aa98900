"""Read exported hours back from the lake, and compare object, manifest and database.

In: an hour that the ledger lists as written. Out: a `FileFinding`. Only a verified hour may be dropped from the
database. If the database has already dropped rows of the hour, the object is checked by merging the remaining ones into
it, which must change nothing.
"""

import tempfile
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from app.lake.exporter import Content, archived_rows, content_in_database, content_of_file, rows_between
from app.lake.late_rows import LateRows, around, window_of
from app.lake.layout import Dataset
from app.lake.ledger import ExportLedger, WrittenHour
from app.lake.parquet import Manifest, decode_manifest, duckdb_session, sha256_of
from app.lake.storage import Storage, storage_errors
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.storage.arrivals import arrivals_session
from kalshi_data.layout import manifest_key

log = logs.get(__name__)


class FileVerdict(Enum):
    SAME = "the same in the object, its manifest and the database"
    ARCHIVED = "as its manifest says; the database lacks it"
    OUTDATED = "has newer rows in the database, and will be written again"
    BUSY = "is being written or verified by another process"
    DIFFERENT = "different"
    IN_GLACIER = "in Glacier: not read"
    UNREADABLE = "could not be read"

    @property
    def is_safe(self) -> bool:
        return self in {FileVerdict.SAME, FileVerdict.ARCHIVED}


WRONG = frozenset({FileVerdict.DIFFERENT, FileVerdict.UNREADABLE})


class FileFinding(NamedTuple):
    """The result of verifying one hour."""

    verdict: FileVerdict
    rows: int = 0
    difference: str = ""


class Verifier:
    """Read objects back, and compare them with their manifests and with the database's rows."""

    def __init__(self, source: Dsn, ledger: ExportLedger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def verify(self, dataset: Dataset, hour: datetime) -> FileFinding:
        """Verify the hour. If object, manifest and database agree, the database may drop its rows from then on."""
        with self._ledger.claimed(dataset, hour) as is_ours:
            if not is_ours:
                return FileFinding(FileVerdict.BUSY)
            written = self._ledger.written(dataset, hour)
            if written is None:
                return FileFinding(FileVerdict.OUTDATED)
            what = f"{dataset.name} of {hour:%Y-%m-%dT%H}"
            with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, storage_errors(what):
                finding = self._compare(dataset, hour, written, Path(folder))
            # If a row was withdrawn meanwhile, the withdrawing transaction has reopened the hour, and verified()
            # returns False.
            if finding.verdict.is_safe and not self._ledger.verified(dataset, hour, written.through_ingest_id):
                return FileFinding(FileVerdict.OUTDATED)
            if finding.verdict is FileVerdict.DIFFERENT:
                finding = self._judge_again(dataset, hour, written, finding)
        return finding

    def _judge_again(self, dataset: Dataset, hour: datetime, written: WrittenHour, finding: FileFinding) -> FileFinding:
        if self._ledger.written(dataset, hour) != written:
            return FileFinding(FileVerdict.OUTDATED)
        log.error(
            "lake file differs from its manifest or the database",
            dataset=dataset.name,
            hour=hour.isoformat(),
            difference=finding.difference,
        )
        return finding

    def _compare(self, dataset: Dataset, hour: datetime, written: WrittenHour, folder: Path) -> FileFinding:
        difference, content = read_back(self._storage, dataset, hour, folder, written.sha256)
        if content is None:
            return FileFinding(FileVerdict.DIFFERENT, 0, difference)
        stored, last_ingest_id, lacks_rows = self._in_database(dataset, hour)
        if last_ingest_id > written.through_ingest_id:
            return FileFinding(FileVerdict.OUTDATED, content.rows)
        if stored == content:
            return FileFinding(FileVerdict.SAME, content.rows)
        if lacks_rows:
            return self._compare_archived(dataset, hour, written, folder)._replace(rows=content.rows)
        return FileFinding(FileVerdict.DIFFERENT, content.rows, f"the object has {content}, the database {stored}")

    def _compare_archived(self, dataset: Dataset, hour: datetime, written: WrittenHour, folder: Path) -> FileFinding:
        """Compare an hour whose rows the database has dropped in part. The object may have more; but no row of the
        database may be missing in it."""
        touched = self._would_change(dataset, hour, folder)
        if not touched:
            return FileFinding(FileVerdict.ARCHIVED)
        if self._in_database(dataset, hour)[1] > written.through_ingest_id:
            return FileFinding(FileVerdict.OUTDATED)
        difference = f"{touched} rows of the object would come, go or change if the database's were merged into it"
        return FileFinding(FileVerdict.DIFFERENT, difference=difference)

    def _in_database(self, dataset: Dataset, hour: datetime) -> tuple[Content, int, bool]:
        with arrivals_session(self._source, "lake verifier") as session:
            return content_in_database(session, dataset.table, hour, window_of(dataset))

    def _would_change(self, dataset: Dataset, hour: datetime, folder: Path) -> int:
        """Return how many of the object's rows would be added, removed or changed if the database's rows were merged
        into it again."""
        archived = archived_rows(self._source, self._ledger, self._storage, dataset, hour, folder)
        with duckdb_session(folder) as session:
            late_rows = LateRows(session, dataset, hour)
            late_rows.store(archived)
            with rows_between(self._source, dataset.table, *around(dataset, hour, windows=1)) as fresh:
                return late_rows.merge(fresh).in_hour


def read_back(
    storage: Storage, dataset: Dataset, hour: datetime, folder: Path, sha256: str
) -> tuple[str, Content | None]:
    """Return the object's content, or how it differs from its manifest or from what was written."""
    key = dataset.object_key(hour)
    manifest = _manifest_of(storage, key)
    if isinstance(manifest, str):
        return manifest, None
    path = folder / "hour.parquet"
    if not storage.fetch(key, path):
        return "there is a manifest, but no object", None
    if (path.stat().st_size, sha256_of(path)) != (manifest.size_bytes, manifest.sha256):
        return "the object's bytes are not those of its manifest", None
    if sha256 not in {"", manifest.sha256}:
        return "the object and its manifest are not those that were written", None
    return _content_of(dataset, path, manifest.rows)


def _content_of(dataset: Dataset, path: Path, manifest_rows: int) -> tuple[str, Content | None]:
    try:
        with duckdb_session(path.parent) as session:
            content = content_of_file(session, dataset.table, path)
    except duckdb.Error as error:
        return f"the object cannot be read: {error}", None
    if content.rows != manifest_rows:
        return f"the object has {content.rows} rows, its manifest says {manifest_rows}", None
    return "", content


def _manifest_of(storage: Storage, object_key: str) -> Manifest | str:
    content = storage.read(manifest_key(object_key))
    if content is None:
        return "there is no manifest"
    try:
        return decode_manifest(content)
    except msgspec.DecodeError as error:
        return f"the manifest cannot be read: {error}"
