"""What the lake's Spark jobs have in common: a session, a lake as executors open it, and distributed reads and writes.

Executors read and write objects through the lake's own storage, as every other process does: any Spark reaches a lake
that this host reaches, and needs no library for S3. The driver lists objects and gets their manifests, never rows.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from app.lake.engines import SPARK_FUNCTIONS
from app.lake.parquet import Manifest, decode_manifest, described, write_in_order
from app.lake.storage import Storage, StorageError, storage_at, storage_errors
from app.settings import Settings
from kalshi_data.layout import manifest_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Batches = Iterator[pa.RecordBatch]

# The column that says to which object a row goes: when the object's hour or day begins.
STARTS_AT = "object_starts_at"
ROWS_AT_ONCE = 30_000
MOST_TASKS = 10_000
# Spark draws the borders of ranges from a sample. With fewer of them, neighbouring objects would often share a task.
RANGES_AN_OBJECT = 3
ROWS = pa.schema([("rows", pa.int64())])
FAILURE = re.compile(r"StorageError: (.*)")


class Place(NamedTuple):
    """A lake as another process opens it. It gets no secrets: credentials for a bucket are those of its own host."""

    location: str
    settings: Settings

    @classmethod
    def of(cls, storage: Storage, settings: Settings) -> "Place":
        of_lakes = Settings(
            lake_s3_endpoint=settings.lake_s3_endpoint,
            lake_encryption=settings.lake_encryption,
            lake_kms_key=settings.lake_kms_key,
        )
        is_folder = not storage.location.startswith("s3://")
        # Executors have another working directory.
        return cls(str(Path(storage.location).absolute()) if is_folder else storage.location, of_lakes)

    def storage(self) -> Storage:
        return storage_at(self.location, self.settings)


@contextmanager
def spark_session() -> Iterator["SparkSession"]:
    """Open a session on the cluster that Spark's own configuration names, or on this machine if it names none."""
    # Executors on this machine run the Python of this process. A cluster's configuration names its own.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession  # noqa: PLC0415 - installed only where it is used

    # Spark creates its warehouse in the working directory. Nothing is kept in it, so it gets a temporary folder.
    with tempfile.TemporaryDirectory(prefix="kalshi-spark-") as warehouse:
        session = (
            SparkSession.builder.appName("kalshi-data lake")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", ROWS_AT_ONCE)
            .config("spark.sql.warehouse.dir", warehouse)
            .config("spark.ui.enabled", "false")
            .getOrCreate()
        )
        try:
            for function in SPARK_FUNCTIONS:
                session.sql(function)
            yield session
        finally:
            session.stop()


@contextmanager
def spark_errors(what: str) -> Iterator[None]:
    """Turn the failure of a job into StorageError, with the reason that its executor gave."""
    from py4j.protocol import Py4JError  # noqa: PLC0415 - installed only where it is used
    from pyspark.errors import PySparkException  # noqa: PLC0415

    try:
        yield
    except (PySparkException, Py4JError) as error:
        told = FAILURE.findall(str(error)) or [str(error).strip().split("\n")[0]]
        fix = "see the log of Spark's executors; they need this program, and access to both lakes."
        raise StorageError(f"{what} failed on Spark.", told[-1], fix) from error


def table_of(session: "SparkSession", place: Place, keys: Sequence[str], schema: pa.Schema) -> "DataFrame":
    """Return the rows of these objects. A field `gatherer` of the schema is taken from the object's folder."""
    return distributed(session, keys, partial(_rows, place, schema), schema)


def distributed(
    session: "SparkSession", items: Sequence[str], work: Callable[[Iterator[str]], Batches], schema: pa.Schema
) -> "DataFrame":
    """Return what executors make of the items. Each task gets an equal share of them."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415

    def share(batches: Batches) -> Batches:
        return work(items[number] for batch in batches for number in batch.column(0).to_pylist())

    tasks = max(1, min(len(items), MOST_TASKS))
    return session.range(0, len(items), 1, tasks).mapInArrow(share, from_arrow_schema(schema))


def write_objects(
    frame: "DataFrame",
    place: Place,
    schema: pa.Schema,
    order: Sequence[str],
    key_of: Callable[[datetime], str],
    most_objects: int,
) -> int:
    """Write the rows, an object for each value of STARTS_AT, and then their manifests. Return the number of rows.

    An object is whole or absent, so a task that is repeated or runs twice does no harm: it makes the same bytes.
    """
    # A range never divides an object: one task writes it, and sorts on disk what does not fit in its memory.
    ranges = most_objects * RANGES_AN_OBJECT
    in_order = frame.select(STARTS_AT, *schema.names).repartitionByRange(ranges, STARTS_AT)
    sorted_rows = in_order.sortWithinPartitions(STARTS_AT, *order)
    written = sorted_rows.mapInArrow(partial(_write, place, schema, order, key_of), "manifest STRING").collect()
    manifests = [row["manifest"] for row in written]
    sealed = distributed(frame.sparkSession, manifests, partial(_seal, place, order), ROWS).collect()
    return sum(row["rows"] for row in sealed)


@contextmanager
def kept(frame: "DataFrame") -> Iterator[None]:
    """Keep the rows on the executors' disks, for queries that look at them several times."""
    from pyspark import StorageLevel  # noqa: PLC0415 - installed only where it is used

    frame.persist(StorageLevel.DISK_ONLY)
    try:
        yield
    finally:
        frame.unpersist()


def _rows(place: Place, schema: pa.Schema, keys: Iterator[str]) -> Batches:
    filesystem, root = place.storage().filesystem()
    stored = [name for name in schema.names if name != "gatherer"]
    for key in keys:
        with (
            storage_errors(key),
            parquet.ParquetFile(f"{root}/{key}", filesystem=filesystem, page_checksum_verification=True) as file,
        ):
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=stored):
                columns = {name: batch[name] for name in stored}
                if "gatherer" in schema.names:
                    columns["gatherer"] = pa.repeat(_gatherer_of(key), batch.num_rows)
                yield pa.record_batch([columns[field.name].cast(field.type) for field in schema], schema)


def _gatherer_of(key: str) -> str:
    return key.partition("/gatherer=")[2].partition("/")[0]


def _write(
    place: Place, schema: pa.Schema, order: Sequence[str], key_of: Callable[[datetime], str], batches: Batches
) -> Batches:
    storage = place.storage()
    for starts_at, pieces in groupby(_pieces(batches), itemgetter(0)):
        key = key_of(starts_at)
        with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, storage_errors(key):
            path = Path(folder) / "written.parquet"
            written = write_in_order((rows for _, rows in pieces), schema, order, path)
            storage.put_file(key, path, storage.version(key))
        yield pa.record_batch({"manifest": [Manifest.of(key, written).encode().decode()]})


def _pieces(batches: Batches) -> Iterator[tuple[datetime, pa.RecordBatch]]:
    """Yield the sorted batches in pieces that belong to one object."""
    for batch in batches:
        runs = pc.run_end_encode(batch[STARTS_AT])
        start = 0
        for end, starts_at in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
            yield starts_at, batch.slice(start, end - start)
            start = end


def _seal(place: Place, order: Sequence[str], manifests: Iterator[str]) -> Batches:
    """Read each object back from the lake and write its manifest. Raise StorageError if it is not as it was written."""
    storage = place.storage()
    for content in manifests:
        manifest = decode_manifest(content.encode())
        if _read_back(storage, manifest.object, order) != manifest:
            raise StorageError(f"{manifest.object} is not in the lake as it was written.")
        key = manifest_key(manifest.object)
        storage.put(key, manifest.encode(), storage.version(key))
        yield pa.record_batch([[manifest.rows]], ROWS)


def _read_back(storage: Storage, key: str, order: Sequence[str]) -> Manifest | None:
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder, storage_errors(key):
        path = Path(folder) / "back.parquet"
        return Manifest.of(key, described(path, order)) if storage.fetch(key, path) else None
