"""Where the lake lies: one small interface, over a local folder or a bucket."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, Protocol
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from app.errors import OperatorError
from app.settings import Settings


class StorageError(OperatorError):
    """The lake cannot be read or written."""


class ReplacedError(StorageError):
    """Somebody else has written the object since its version was read."""


class InGlacierError(StorageError):
    """The object is there and cannot be read until it is restored."""


class Listed(NamedTuple):
    """An object as a list of them shows it."""

    key: str
    size_bytes: int
    is_in_glacier: bool  # also where a copy of it was restored


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn what Parquet's readers and the disk of temporary files say into StorageError."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{what}: an object of the lake or a temporary file cannot be read or written.",
            str(error).strip(),
            "check the object with kalshi-data verify, and that there is room in the folder of temporary files.",
        ) from error


class Storage(Protocol):
    """Objects by key. One that is written is there as a whole or not at all, until it is replaced as a whole."""

    @property
    def location(self) -> str:
        """A folder, or `s3://bucket/prefix`."""

    def version(self, key: str) -> str | None:
        """Of what lies there now; None: nothing does."""

    def put_file(self, key: str, path: Path, replaces: str | None) -> None:
        """Only over the version that was read before, else ReplacedError."""

    def put(self, key: str, content: bytes, replaces: str | None) -> None:
        """The same, of a small object."""

    def read(self, key: str) -> bytes | None:
        """A small object; None: there is none."""

    def fetch(self, key: str, path: Path) -> bool:
        """Into a file. False: there is none."""

    def keys(self, prefix: str) -> Iterator[str]: ...

    def listed(self, prefix: str) -> Iterator[Listed]: ...

    def prove_writable(self, folder: str = "") -> None:
        """Begin to write there, and leave nothing behind. Raise a StorageError where that is not allowed."""

    def filesystem(self) -> tuple["FileSystem", str]:
        """For reading with pyarrow: the file system, and the folder in it."""


def storage_of(settings: Settings) -> Storage:
    where = settings.lake or str(settings.data_dir / "lake")
    return storage_at(where, settings)


def storage_at(where: str, settings: Settings | None = None) -> Storage:
    """`s3://bucket/prefix` or a folder."""
    if not where.startswith("s3://"):
        return FolderStorage(Path(where))
    # What it takes to speak S3 is heavy, and a lake in a folder needs none of it.
    from app.lake.s3_storage import BucketStorage, client_of  # noqa: PLC0415

    settings = settings or Settings()
    parts = urlsplit(where)
    client = client_of(settings.lake_s3_endpoint)
    encryption = (settings.lake_encryption, settings.lake_kms_key)
    return BucketStorage(client, parts.netloc, parts.path.strip("/"), encryption, settings.lake_s3_endpoint)


LOCK = ".lock"
UNFINISHED = ".unfinished-"


class FolderStorage:
    """Files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def location(self) -> str:
        return str(self.folder)

    def version(self, key: str) -> str | None:
        with self._told(key):
            try:
                found = (self.folder / key).stat()
            except FileNotFoundError:
                return None
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def put_file(self, key: str, path: Path, replaces: str | None) -> None:
        def copy(file: IO[bytes]) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)

        self._write(key, copy, replaces)

    def put(self, key: str, content: bytes, replaces: str | None) -> None:
        self._write(key, lambda file: file.write(content), replaces)

    def read(self, key: str) -> bytes | None:
        with self._told(key):
            try:
                return (self.folder / key).read_bytes()
            except FileNotFoundError:
                return None

    def fetch(self, key: str, path: Path) -> bool:
        with self._told(key):
            try:
                shutil.copyfile(self.folder / key, path)
            except FileNotFoundError:
                return False
            return True

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted((self.folder / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.folder).as_posix()

    def listed(self, prefix: str) -> Iterator[Listed]:
        for key in self.keys(prefix):
            with self._told(key):
                yield Listed(key, (self.folder / key).stat().st_size, is_in_glacier=False)

    def prove_writable(self, folder: str = "") -> None:
        wanted = self.folder / folder
        existing = next(path for path in (wanted, *wanted.parents) if path.exists())
        with self._told(""), tempfile.TemporaryFile(dir=existing):
            pass

    def filesystem(self) -> tuple[FileSystem, str]:
        return LocalFileSystem(), str(self.folder)

    def _write(self, key: str, fill: Callable[[IO[bytes]], object], replaces: str | None) -> None:
        target = self.folder / key
        with self._told(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._unfinished(target.parent) as file:
                unfinished = Path(file.name)
                try:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                    self._swap(key, unfinished, target, replaces)
                except BaseException:
                    unfinished.unlink(missing_ok=True)
                    raise

    def _unfinished(self, folder: Path) -> IO[bytes]:
        """Make a file, locked for as long as it is open. Those of writers that were killed are removed."""
        with self._locked():
            for left in folder.glob(f"{UNFINISHED}*"):
                _remove_unless_locked(left)
            # Names that begin with a dot are passed over by whoever reads a folder of Parquet.
            file = tempfile.NamedTemporaryFile(dir=folder, prefix=UNFINISHED, delete=False)  # noqa: SIM115
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def _swap(self, key: str, unfinished: Path, target: Path, replaces: str | None) -> None:
        with self._locked():
            if self.version(key) != replaces:
                raise ReplacedError(f"{key} was written by another process meanwhile.")
            unfinished.chmod(0o644)
            unfinished.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Between looking at the version and replacing it, nobody else may replace it; nor take a file that is being
        made for one that was left."""
        with (self.folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fix = "check KALSHI_LAKE, the rights on its folder, and the room on its disk."
            raise StorageError(f"{self.folder / key} cannot be read or written.", str(error), fix) from error


def _remove_unless_locked(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError, PermissionError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
