"""The files of an export: each appears as a whole, and none is replaced."""

import gzip
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from kalshi_data.errors import LakeError
from kalshi_data.exports.rows import RowKind

EXCHANGE = "kalshi"
COMPRESSION_LEVEL = 1  # of gzip: level 6 takes four times as long for files that are a third smaller
WITHOUT_HEADER = csv.WriteOptions(include_header=False, quoting_style="none")


class DayWriter(Protocol):
    """Writes one market's events of one day."""

    def write(self, hour: datetime, events: pa.Table) -> None:
        """Write the events of an hour."""

    def finish(self) -> None:
        """Make the files appear under their names."""


class NewFile:
    """A file that is written under another name until it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.part")

    def begin(self) -> Path:
        """Return where to write. Raise LakeError if the file is there already."""
        refuse_existing([self.path] if self.path.exists() else [])
        self.part.parent.mkdir(parents=True, exist_ok=True)
        return self.part

    def finish(self, name: str | None = None) -> Path:
        return self.part.rename(self.path.with_name(name or self.path.name))


def refuse_existing(paths: list[Path]) -> None:
    if paths:
        raise LakeError(
            f"{paths[0]} is there already.", "An export replaces no file.", "remove it, or name another folder."
        )


class CsvFile:
    """A CSV file, compressed if its name ends with .gz. Without rows it has its header alone."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._file = NewFile(path)
        part = self._file.begin()
        is_packed = path.suffix == ".gz"
        self._sink = gzip.GzipFile(part, "wb", COMPRESSION_LEVEL) if is_packed else part.open("wb")
        self._sink.write(f"{','.join(columns)}\n".encode())

    def write(self, rows: pa.Table) -> None:
        csv.write_csv(rows, self._sink, WITHOUT_HEADER)

    def finish(self) -> None:
        self._sink.close()
        self._file.finish()


def of_kinds(events: pa.Table, *kinds: RowKind) -> pa.Table:
    return events.filter(pc.field("kind").isin([int(kind) for kind in kinds])).combine_chunks()
