import os
from pathlib import Path

from app.spool.segment_format import Layout, header, record, seed


class SegmentWriter:
    """Appends records to a new file. What append() returned from is on the disk and survives a power cut."""

    def __init__(self, path: Path, number: int, layout: Layout) -> None:
        self.size_bytes = 0
        self.is_intact = True
        self._seed = seed(number, layout)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._write(header(layout))
            sync_folder(path.parent)
        except OSError:
            self.close()
            path.unlink()
            raise

    def append(self, packed: list[bytes]) -> None:
        self._write(b"".join(record(rows, self._seed) for rows in packed))

    def close(self) -> None:
        os.close(self._file)

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self.size_bytes)
            raise
        self._sync()
        self.size_bytes += len(content)

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError:
            # What is on the disk after that nobody knows: nothing is appended to it.
            self.is_intact = False
            os.ftruncate(self._file, self.size_bytes)
            raise


def sync_folder(folder: Path) -> None:
    """Makes names that came or went in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
