import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyarrow.fs import FileSystem, LocalFileSystem

from app.lake.storage import ReplacedError

LOCK = ".lock"
UNFINISHED = ".unfinished-"


class FolderStorage:
    """Files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def version(self, key: str) -> str | None:
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
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def fetch(self, key: str, path: Path) -> bool:
        try:
            shutil.copyfile(self.folder / key, path)
        except FileNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted((self.folder / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.folder).as_posix()

    def filesystem(self) -> tuple[FileSystem, str]:
        return LocalFileSystem(), str(self.folder)

    def _write(self, key: str, fill: Callable[[IO[bytes]], object], replaces: str | None) -> None:
        target = self.folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        # Names that begin with a dot are passed over by whoever reads a folder of Parquet.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=UNFINISHED, delete=False) as file:
            unfinished = Path(file.name)
            try:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
                self._swap(key, unfinished, target, replaces)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise

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
        """Between looking at the version and replacing it, nobody else may replace it."""
        with (self.folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
