"""The lake's storage: one small interface, over a local folder or a bucket.

A write names the version that it replaces: an exporter that lost its claim cannot overwrite a newer object.
"""

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
from app.runtime.durable_files import make_folder, sync_folder
from app.settings import Settings


class StorageError(OperatorError):
    """The lake cannot be read or written."""


class ReplacedError(StorageError):
    """Another process has written the object since its version was read."""


class InGlacierError(StorageError):
    """The object exists, but cannot be read until it is restored."""


class Listed(NamedTuple):
    """An object, as in a listing."""

    key: str
    size_bytes: int
    is_in_glacier: bool  # also if a copy of it was restored


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn the errors of Parquet's readers and of the temporary files' disk into StorageError."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{what}: an object of the lake or a temporary file cannot be read or written.",
            str(error).strip(),
            "check the object with kalshi-data verify, and that there is room in the folder of temporary files.",
        ) from error


class Storage(Protocol):
    """Objects by key. A written object is complete or absent, and is only replaced as a whole."""

    @property
    def location(self) -> str:
        """Return the folder, or `s3://bucket/prefix`."""

    def version(self, key: str) -> str | None:
        """Return the version of the existing object. Return None if there is none."""

    def put_file(self, key: str, path: Path, replaces: str | None) -> None:
        """Write the object from a file. Raise ReplacedError unless the existing version is still `replaces`."""

    def put(self, key: str, content: bytes, replaces: str | None) -> None:
        """Write a small object, under the same condition as put_file()."""

    def read(self, key: str) -> bytes | None:
        """Return a small object's content. Return None if it does not exist."""

    def fetch(self, key: str, path: Path) -> bool:
        """Copy the object into a file. Return False if it does not exist."""

    def keys(self, prefix: str) -> Iterator[str]: ...

    def listed(self, prefix: str) -> Iterator[Listed]: ...

    def prove_writable(self, folder: str = "") -> None:
        """Begin a write in the folder, and leave nothing behind. Raise a StorageError if that is not allowed."""

    def filesystem(self) -> tuple["FileSystem", str]:
        """Return the file system for pyarrow, and the lake's folder in it."""


def storage_of(settings: Settings) -> Storage:
    where = settings.lake or str(settings.data_dir / "lake")
    return storage_at(where, settings)


def storage_at(where: str, settings: Settings | None = None) -> Storage:
    """Return the storage of `s3://bucket/prefix` or of a folder."""
    if not where.startswith("s3://"):
        return FolderStorage(Path(where))
    # The S3 client is slow to import, and a lake in a folder does not need it.
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
        with self._storage_errors(key):
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
        with self._storage_errors(key):
            try:
                return (self.folder / key).read_bytes()
            except FileNotFoundError:
                return None

    def fetch(self, key: str, path: Path) -> bool:
        with self._storage_errors(key):
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
            with self._storage_errors(key):
                yield Listed(key, (self.folder / key).stat().st_size, is_in_glacier=False)

    def prove_writable(self, folder: str = "") -> None:
        wanted = self.folder / folder
        existing = next(path for path in (wanted, *wanted.parents) if path.exists())
        with self._storage_errors(""), tempfile.TemporaryFile(dir=existing):
            pass

    def filesystem(self) -> tuple[FileSystem, str]:
        return LocalFileSystem(), str(self.folder)

    def _write(self, key: str, fill: Callable[[IO[bytes]], object], replaces: str | None) -> None:
        target = self.folder / key
        with self._storage_errors(key):
            make_folder(target.parent)
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
        """Create a file that is locked for as long as it is open. Files left by killed writers are removed."""
        with self._locked():
            for left in folder.glob(f"{UNFINISHED}*"):
                _remove_unless_locked(left)
            # Readers of a folder of Parquet ignore names that begin with a dot.
            file = tempfile.NamedTemporaryFile(dir=folder, prefix=UNFINISHED, delete=False)  # noqa: SIM115
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def _swap(self, key: str, unfinished: Path, target: Path, replaces: str | None) -> None:
        with self._locked():
            if self.version(key) != replaces:
                raise ReplacedError(f"{key} was written by another process meanwhile.")
            unfinished.chmod(0o644)
            unfinished.replace(target)
        sync_folder(target.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lake's lock. Under it no other process can replace an object between the check of its version and
        its replacement, or remove a file that has just been created as if a killed writer had left it."""
        with (self.folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _storage_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fix = "check KALSHI_LAKE, the rights on its folder, and the room on its disk."
            raise StorageError(f"{self.folder / key} cannot be read or written.", str(error), fix) from error


def _remove_unless_locked(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError, PermissionError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
