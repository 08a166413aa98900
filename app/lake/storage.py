"""Where the lake lies: one small interface, over a local folder or a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa

from app.errors import OperatorError
from app.settings import Settings

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


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
        from app.lake.folder import FolderStorage  # noqa: PLC0415

        return FolderStorage(Path(where))
    # What it takes to speak S3 is heavy, and a lake in a folder needs none of it.
    from app.lake.bucket import BucketStorage, client_of  # noqa: PLC0415

    settings = settings or Settings()
    parts = urlsplit(where)
    client = client_of(settings.lake_s3_endpoint)
    encryption = (settings.lake_encryption, settings.lake_kms_key)
    return BucketStorage(client, parts.netloc, parts.path.strip("/"), encryption, settings.lake_s3_endpoint)
