"""Write the lake's own description into its root: README.md, _schema.json and lake.sql.

They are made of nothing but the layout. lake.sql names the tables that the lake has, and is written again when it has
another one.
"""

from app.lake.storage import ReplacedError, Storage
from app.runtime import logs
from kalshi_data.description import README_KEY, SCHEMA_KEY, SQL_KEY, lake_sql, readme, schema_json
from kalshi_data.layout import FOLDERS

log = logs.get(__name__)


class LakeDescription:
    """The description of one lake, as this process knows it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._present: set[str] = set()
        self._is_written = False

    def refresh(self) -> bool:
        """Write the description if the lake has tables that it had not before, or on the first call. Return whether an
        object was written."""
        missing = [table for table in FOLDERS if table not in self._present]
        found = {table for table in missing if self._has(table)}
        if self._is_written and not found:
            return False
        present = self._present | found
        root = self._storage.location if self._storage.location.startswith("s3://") else ""
        texts = {
            README_KEY: readme(self._storage.location),
            SCHEMA_KEY: schema_json(),
            SQL_KEY: lake_sql(present, root),
        }
        written = [self._put(key, text.encode()) for key, text in texts.items()]
        self._present, self._is_written = present, True
        return any(written)

    def _has(self, table: str) -> bool:
        keys = self._storage.keys(FOLDERS[table])
        return any(key.endswith(".parquet") for key in keys)

    def _put(self, key: str, content: bytes) -> bool:
        version = self._storage.version(key)
        if version is not None and self._storage.read(key) == content:
            return False
        try:
            self._storage.put(key, content, version)
        except ReplacedError:
            # Another exporter of this lake describes it at the same time, in the same words.
            log.info("another process described the lake", key=key)
            return False
        return True
