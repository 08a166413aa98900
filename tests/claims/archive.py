"""The lake, in a folder, and chunks that are dropped where rows are safe elsewhere."""

import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from app.lake.archive import Archive
from app.lake.layout import PROCESSED, Dataset
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.storage.confirmation import CONFIRMATIONS
from app.storage.retention import maintain
from tests.claims.truth import TABLES

VERIFIED = """
    SELECT table_name, hour FROM exports
    WHERE verified_at IS NOT NULL AND through_ingest_id >= changed_through AND through_ingest_id > 0
"""
IN_PRODUCTION = (
    "SELECT {number}::BIGINT FROM {table} WHERE {time} >= %(hour)s AND {time} < %(hour)s + INTERVAL '1 hour'"
)
ANY_SIZE = 0


NUMBERS = dict(TABLES.values())


class Hour(NamedTuple):
    dataset: Dataset
    start: datetime
    number: str  # of an event, in SQL


class LakeFolder:
    def __init__(self, production):
        self._folder = Path(tempfile.mkdtemp(prefix="kalshi-claims-lake-"))
        self._production = production
        self._archive = Archive(production.dsn, FolderStorage(self._folder))

    def close(self):
        shutil.rmtree(self._folder)

    def bring_up_to_date(self):
        for table, _ in TABLES.values():
            while self._archive.step(PROCESSED[table], settle_seconds=0):
                continue

    def verified_hours(self):
        hours = self._production.ask(VERIFIED)
        return [Hour(PROCESSED[table], hour, NUMBERS[table]) for table, hour in hours if table in NUMBERS]

    def numbers(self, hour):
        """Of the events in its file."""
        with duckdb.connect() as session:
            rows = session.read_parquet(str(self._folder / hour.dataset.object_key(hour.start)))
            return [number for (number,) in rows.select(f"{hour.number}::BIGINT").fetchall()]

    def numbers_in_production(self, hour):
        table = hour.dataset.table
        query = IN_PRODUCTION.format(number=hour.number, table=table.name, time=table.time_column)
        return [number for (number,) in self._production.ask(query, {"hour": hour.start})]


def drop_what_may_go(database, now):
    """Whatever is over and safe elsewhere, as if there were no room."""
    with connected(database.dsn, "maintenance") as connection:
        return maintain(connection, CONFIRMATIONS[database.kind], ANY_SIZE, now).dropped
