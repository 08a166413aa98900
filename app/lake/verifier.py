import tempfile
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from app import logs
from app.lake.content import Content, content_in_database, content_of_file
from app.lake.dataset import Dataset, manifest_key
from app.lake.ledger import Ledger
from app.lake.manifest import Manifest, decode_manifest
from app.lake.parquet_file import duckdb_session, sha256_of
from app.lake.storage import Storage
from app.postgres.dsn import Dsn
from app.store.arrivals import arrivals_session

log = logs.get(__name__)


class Verdict(Enum):
    SAME = "the same in the object, its manifest and the database"
    ARCHIVED = "as its manifest says; the database lacks it"
    OUTDATED = "has newer rows in the database, and will be written again"
    BUSY = "is being written or verified by another process"
    DIFFERENT = "different"

    @property
    def is_safe(self) -> bool:
        return self in {Verdict.SAME, Verdict.ARCHIVED}


class Finding(NamedTuple):
    verdict: Verdict
    rows: int = 0
    difference: str = ""


class Verifier:
    """Reads objects back, and compares them with their manifests and with the database's rows."""

    def __init__(self, source: Dsn, ledger: Ledger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def verify(self, dataset: Dataset, hour: datetime) -> Finding:
        """What is the same in all three may be dropped from the database from then on."""
        with self._ledger.claimed(dataset, hour) as is_ours:
            if not is_ours:
                return Finding(Verdict.BUSY)
            through_ingest_id = self._ledger.written_through(dataset, hour)
            if through_ingest_id is None:
                return Finding(Verdict.OUTDATED)
            finding = self._compare(dataset, hour, through_ingest_id)
            # A row that was withdrawn while we looked has reopened the hour in the same transaction.
            if finding.verdict.is_safe and not self._ledger.verified(dataset, hour, through_ingest_id):
                return Finding(Verdict.OUTDATED)
            if finding.verdict is Verdict.DIFFERENT:
                finding = self._judge_again(dataset, hour, through_ingest_id, finding)
        return finding

    def _judge_again(self, dataset: Dataset, hour: datetime, through_ingest_id: int, finding: Finding) -> Finding:
        if self._ledger.written_through(dataset, hour) != through_ingest_id:
            return Finding(Verdict.OUTDATED)
        log.error("the lake differs", dataset=dataset.name, hour=hour.isoformat(), difference=finding.difference)
        return finding

    def _compare(self, dataset: Dataset, hour: datetime, through_ingest_id: int) -> Finding:
        difference, content = read_back(self._storage, dataset, hour)
        if content is None:
            return Finding(Verdict.DIFFERENT, 0, difference)
        with arrivals_session(self._source, "lake verifier") as session:
            stored, last_ingest_id, lacks_rows = content_in_database(session, dataset.table, hour)
        if last_ingest_id > through_ingest_id:
            return Finding(Verdict.OUTDATED, content.rows)
        if stored == content:
            return Finding(Verdict.SAME, content.rows)
        if lacks_rows and stored.rows < content.rows:
            return Finding(Verdict.ARCHIVED, content.rows)
        return Finding(Verdict.DIFFERENT, content.rows, f"the object has {content}, the database {stored}")


def read_back(storage: Storage, dataset: Dataset, hour: datetime) -> tuple[str, Content | None]:
    """What the object holds; or how it differs from its manifest."""
    key = dataset.object_key(hour)
    manifest = _manifest_of(storage, key)
    if isinstance(manifest, str):
        return manifest, None
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        path = Path(folder) / "hour.parquet"
        if not storage.fetch(key, path):
            return "there is a manifest, but no object", None
        if (path.stat().st_size, sha256_of(path)) != (manifest.size_bytes, manifest.sha256):
            return "the object's bytes are not those of its manifest", None
        try:
            with duckdb_session(path.parent) as session:
                content = content_of_file(session, dataset.table, path)
        except duckdb.Error as error:
            return f"the object cannot be read: {error}", None
    if content.rows != manifest.rows:
        return f"the object has {content.rows} rows, its manifest says {manifest.rows}", None
    return "", content


def _manifest_of(storage: Storage, object_key: str) -> Manifest | str:
    content = storage.read(manifest_key(object_key))
    if content is None:
        return "there is no manifest"
    try:
        return decode_manifest(content)
    except msgspec.DecodeError as error:
        return f"the manifest cannot be read: {error}"
