"""The files of a lake, in a folder or a bucket: which exist for a time, and how they are scanned.

Only the folders of the requested days are listed. Footers are kept from one call to the next as long as the file's
size and time of change are the same.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as arrow_dataset
from pyarrow.dataset import Dataset, Fragment
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem, S3FileSystem

from kalshi_data.errors import NoLakeError, UnreadableError
from kalshi_data.layout import CANDLES, DAY, FOLDERS, HOUR, HOURLY, IDENTITY_KEY, day_of
from kalshi_data.schema import schema_of
from kalshi_data.times import ALWAYS, MICROSECOND, Interval

# If a file is replaced while it is read, the new one's pages lie elsewhere. The checksum makes that an error instead of
# wrong values.
CHECKED = arrow_dataset.ParquetFileFormat(
    default_fragment_scan_options=arrow_dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
)
MOST_LISTED_DAYS = 60  # for more days, the whole table is listed at once
MOST_FRAGMENTS = 20_000
MOST_READS = 3  # of files that are replaced while they are read
MORE_FILES = 4  # times those of the dataset before, when files are read backwards
# What lies in a lake's root, apart from its identity.
ROOTS = ("processed", "raw", "aggregates", "coverage", "reference")

# Readers that guess differ: these are the types of lake.sql and of docs/lake.md too.
DATE_FIELD, HOUR_FIELD = pa.field("date", pa.date32()), pa.field("hour", pa.int64())
INTERVAL_FIELD = pa.field("interval", pa.string())


class LakeFiles:
    """The files below one root."""

    def __init__(self, filesystem: FileSystem, root: str, location: str) -> None:
        self.location = location
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._fragments: OrderedDict[tuple[str, int, int], Fragment] = OrderedDict()

    def is_lake(self) -> bool:
        paths = [f"{self._root}/{name}" for name in (IDENTITY_KEY, *ROOTS)]
        return any(info.type is not FileType.NotFound for info in self._infos(paths))

    def has(self, table: str) -> bool:
        return next(iter(self.days(table)), None) is not None

    def days(self, table: str) -> list[str]:
        """Return the dates for which the table has files, in order."""
        folder = f"{self._root}/{FOLDERS[table]}" + ("/interval=1d" if table == CANDLES else "")
        names = (info.base_name for info in self._infos(FileSelector(folder, allow_not_found=True)))
        return sorted(name.removeprefix("date=") for name in names if name.startswith("date="))

    def periods(self, table: str) -> Iterator[Interval]:
        """Yield the hours, or days, for which the table has files, the last one first."""
        for day in reversed(self.days(table)):
            start = datetime.fromisoformat(f"{day}T00:00:00Z")
            times = [_time_of(info.path, table) for info in self._files(table, (start, start + DAY))]
            for begin, length in sorted(times, reverse=True):
                yield begin, begin + length

    def scan(self, table: str, period: Interval = ALWAYS) -> Dataset:
        """Return a pyarrow dataset of the files that may have rows of the period. `date` and `hour` are columns too."""
        return self._dataset(table, self._files(table, period))

    def scan_backwards(self, table: str, since: datetime, until: datetime) -> Iterator[Dataset]:
        """Yield datasets whose files may have rows from `since` to `until`, the latest files first. Each has more files
        than the one before, since what is wanted is usually in the last one."""
        most = 1
        for day in reversed(list(_days(day_of(since), until + MICROSECOND))):
            infos = list(self._files(table, (max(day, since), min(day + DAY, until + MICROSECOND))))
            while infos:
                yield self._dataset(table, infos[-most:])
                del infos[-most:]
                most *= MORE_FILES

    def _dataset(self, table: str, infos: Iterable[FileInfo]) -> Dataset:
        schema = schema_of(table)
        for field in _folders_of(table):
            schema = schema.append(field)
        fragments = [self._fragment(table, info) for info in infos]
        return arrow_dataset.FileSystemDataset(fragments, schema, CHECKED, self._filesystem)

    def rows(
        self, table: str, period: Interval, columns: list[str] | None = None, wanted: pc.Expression | None = None
    ) -> pa.Table:
        """Return rows of the period. Files that are replaced meanwhile are read again, so that old and new rows do not
        mix. Raise UnreadableError if they cannot be read, or are replaced every time."""
        what = f"The lake's {FOLDERS[table]}"
        failure: UnreadableError | None = None
        for _ in range(MOST_READS):
            infos = list(self._files(table, period))
            try:
                with reading(what):
                    found = self._dataset(table, infos).to_table(columns, filter=wanted)
                if self._are_unchanged(infos):
                    return found
            except UnreadableError as error:
                failure = error
            # Old footers must not meet new files, even where size and time are equal by chance.
            for info in infos:
                self._fragments.pop(_version(info), None)
        raise failure or UnreadableError(f"{what} were rewritten while they were read.", fix="read again.")

    def _are_unchanged(self, infos: list[FileInfo]) -> bool:
        now = self._infos([info.path for info in infos])
        return [_version(info) for info in now] == [_version(info) for info in infos]

    def read(self, key: str) -> bytes | None:
        """Return a small file's content. Return None if it does not exist."""
        with reading(key):
            try:
                with self._filesystem.open_input_file(f"{self._root}/{key}") as file:
                    content: bytes = file.readall()
                    return content
            except FileNotFoundError:
                return None

    def keys(self, folder: str) -> list[str]:
        """Return the keys of the files below a folder, in order."""
        selector = FileSelector(f"{self._root}/{folder}", allow_not_found=True, recursive=True)
        found = [info.path for info in self._infos(selector) if info.type is FileType.File]
        return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def _files(self, table: str, period: Interval) -> Iterator[FileInfo]:
        """Yield the table's Parquet files for the period, in order."""
        folder = f"{self._root}/{FOLDERS[table]}"
        first, last = day_of(period[0]), period[1]
        selectors = [FileSelector(folder, allow_not_found=True, recursive=True)]
        if table != CANDLES and last - first <= MOST_LISTED_DAYS * DAY:
            dates = [f"{folder}/date={day:%Y-%m-%d}" for day in _days(first, last)]
            selectors = [FileSelector(date, allow_not_found=True, recursive=True) for date in dates]
        for selector in selectors:
            for info in sorted(self._infos(selector), key=lambda info: str(info.path)):
                if info.path.endswith(".parquet") and not info.base_name.startswith("."):
                    begin, length = _time_of(info.path, table)
                    if begin < period[1] and begin + length > period[0]:
                        yield info

    def _fragment(self, table: str, info: FileInfo) -> Fragment:
        known = _version(info)
        if (fragment := self._fragments.pop(known, None)) is None:
            values = _folder_values(info.path)
            partition = pc.scalar(True)
            for field in _folders_of(table):
                partition &= pc.field(field.name) == pa.scalar(values[field.name]).cast(field.type)
            fragment = CHECKED.make_fragment(info.path, self._filesystem, partition, file_size=info.size)
        self._fragments[known] = fragment
        if len(self._fragments) > MOST_FRAGMENTS:
            self._fragments.popitem(last=False)
        return fragment

    def _infos(self, which: FileSelector | list[str]) -> list[FileInfo]:
        with reading(self.location):
            infos: list[FileInfo] = self._filesystem.get_file_info(which)
        return infos


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the errors of file systems and of Parquet's readers into UnreadableError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        fix = "check its rights and its place; if an hour was being rewritten meanwhile, read again."
        raise UnreadableError(f"{what} cannot be read.", str(error).strip(), fix) from error


def open_files(where: str | os.PathLike[str], endpoint: str | None = None) -> LakeFiles:
    """Open a folder or `s3://bucket/prefix`. Raise NoLakeError if there is no lake."""
    location = os.fspath(where)
    if location.startswith("s3://"):
        files = LakeFiles(_s3(endpoint), location.removeprefix("s3://"), location.rstrip("/"))
    else:
        files = LakeFiles(LocalFileSystem(), str(Path(location).expanduser().absolute()), location)
    if not files.is_lake():
        fix = "name the folder that has processed/ in it; kd.demo() opens the last demo's."
        raise NoLakeError(f"There is no lake at {location}.", f"It has none of {', '.join(ROOTS)}.", fix)
    return files


def _s3(endpoint: str | None) -> FileSystem:
    # pyarrow looks at AWS_ENDPOINT_URL only in some versions.
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return S3FileSystem(**({"endpoint_override": endpoint} if endpoint else {}))


def demo_folder() -> Path:
    """Return where the last demo left its lake: below KALSHI_DATA_DIR, or the platform's default data folder."""
    if data := os.environ.get("KALSHI_DATA_DIR"):
        return Path(data) / "demo/lake"
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/kalshi-data/demo/lake")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kalshi-data/demo/lake"


def _folders_of(table: str) -> list[pa.Field]:
    if table == CANDLES:
        return [INTERVAL_FIELD, DATE_FIELD]
    return [DATE_FIELD, HOUR_FIELD] if table in HOURLY else [DATE_FIELD]


def _days(first: datetime, last: datetime) -> Iterator[datetime]:
    while first < last:
        yield first
        first += DAY


def _version(info: FileInfo) -> tuple[str, int, int]:
    return info.path, info.size, info.mtime_ns or 0


def _folder_values(path: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)


def _time_of(path: str, table: str) -> tuple[datetime, timedelta]:
    """Return when the file's hour or day begins, and how long it is."""
    values = _folder_values(path)
    day = datetime.fromisoformat(f"{values['date']}T00:00:00Z")
    return (day + int(values["hour"]) * HOUR, HOUR) if table in HOURLY else (day, DAY)
