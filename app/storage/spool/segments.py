"""Read and write files of spooled rows: a header, then records that are each verified by a checksum.

    header: MAGIC  length  crc  msgpack of [table, columns]
    record: MARK   length  crc  rows

Numbers are 32 bits, big-endian. A record's crc also covers its length, the file's number and the layout of its rows, so
that stray bytes, for example from a file that occupied these disk blocks before, are not taken for a record.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from app.runtime import logs
from app.runtime.durable_files import sync_folder
from app.storage.tables import Row, Table

MAGIC = b"KDSPOOL1"
MARK = b"\xf5REC"
NUMBERS = struct.Struct("!II")
HEADER_BYTES = len(MAGIC) + NUMBERS.size
HEAD_BYTES = len(MARK) + NUMBERS.size


class Layout(NamedTuple):
    table: str
    columns: tuple[str, ...]


def header(layout: Layout) -> bytes:
    content = msgspec.msgpack.encode(layout)
    return MAGIC + NUMBERS.pack(len(content), zlib.crc32(content)) + content


def header_at_start(content: bytes) -> tuple[Layout, int] | None:
    """Return the layout and the position of the first record, or None if the header cannot be read."""
    if not content.startswith(MAGIC) or len(content) < HEADER_BYTES:
        return None
    length, crc = NUMBERS.unpack_from(content, len(MAGIC))
    packed = content[HEADER_BYTES : HEADER_BYTES + length]
    if len(packed) != length or zlib.crc32(packed) != crc:
        return None
    return msgspec.msgpack.decode(packed, type=Layout), HEADER_BYTES + length


def seed(number: int, layout: Layout) -> int:
    """Return the initial crc value for a file's records."""
    return zlib.crc32(msgspec.msgpack.encode((number, layout)))


def record(rows: bytes, seed: int) -> bytes:
    return MARK + NUMBERS.pack(len(rows), _crc(rows, seed)) + rows


def length_of_rows(head: bytes) -> int | None:
    """Return the length that a record's head states, or None if this is no head."""
    if len(head) < HEAD_BYTES or not head.startswith(MARK):
        return None
    length: int = NUMBERS.unpack_from(head, len(MARK))[0]
    return length


def is_sound(head: bytes, rows: bytes, seed: int) -> bool:
    return bool(NUMBERS.unpack_from(head, len(MARK)) == (len(rows), _crc(rows, seed)))


def next_record(content: bytes, start: int, seed: int) -> int | None:
    """Return the position of the first sound record at or after `start`, or None if there is none."""
    position = content.find(MARK, start)
    while position >= 0:
        head = content[position : position + HEAD_BYTES]
        length = length_of_rows(head)
        if length is not None and length <= len(content) - position - HEAD_BYTES:
            first = position + HEAD_BYTES
            if is_sound(head, content[first : first + length], seed):
                return position
        position = content.find(MARK, position + 1)
    return None


def is_record_but_for_its_head(content: bytes, seed: int) -> bool:
    """Return True if the head's crc proves the rows, even if the head's mark or length is damaged."""
    if len(content) < HEAD_BYTES:
        return False
    crc: int = NUMBERS.unpack_from(content, len(MARK))[1]
    return crc == _crc(content[HEAD_BYTES:], seed)


def _crc(rows: bytes, seed: int) -> int:
    return zlib.crc32(rows, zlib.crc32(NUMBERS.pack(len(rows), 0), seed))


class SegmentWriter:
    """Append records to a new file. When append() returns, the records are on disk and survive a power cut."""

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
            self._cut()
            raise
        self._sync()
        self.size_bytes += len(content)

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError:
            # After a failed fsync the contents on disk are unknown, so nothing more is appended to this file.
            self.is_intact = False
            self._cut()
            raise

    def _cut(self) -> None:
        """Remove a partly written record. If that fails, `is_intact` stays False and nothing is appended after it."""
        was_intact, self.is_intact = self.is_intact, False
        os.ftruncate(self._file, self.size_bytes)
        self.is_intact = was_intact


# Packing rows as msgpack.

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


def pack(rows: Sequence[Row]) -> bytes:
    try:
        return ENCODER.encode(rows)
    except (TypeError, ValueError, OverflowError):
        return ENCODER.encode([tuple(map(_packable, row)) for row in rows])


def unpack(content: bytes, columns: Sequence[str], table: Table) -> list[Row]:
    """Return rows in the table's current layout, whatever columns it had when they were packed."""
    rows = DECODER.decode(content)
    if tuple(columns) == table.column_names:
        return rows
    return [_rearranged(row, columns, table) for row in rows]


def _packable(value: object) -> object:
    """Replace a value that cannot be packed by a list, which no column accepts: the row is quarantined."""
    try:
        ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError):
        return [repr(value)]
    return value


def _rearranged(row: Row, columns: Sequence[str], table: Table) -> Row:
    """Return the row in the table's layout. A row of the wrong length becomes one that is refused and quarantined."""
    if len(row) != len(columns):
        return (list(row),)
    values = dict(zip(columns, row, strict=True))
    return tuple(values.get(name) for name in table.column_names)


log = logs.get(__name__)

LONGEST_HEADER_BYTES = 65_536


class Found(NamedTuple):
    rows: list[Row]
    end: int  # where to continue reading
    is_after_loss: bool  # rows before these could not be read


class SegmentReader:
    """The records of one file in order, without the damaged ones."""

    def __init__(self, path: Path, number: int, table: Table) -> None:
        self.is_damaged = False
        self._path = path
        self._table = table
        # Unbuffered: the bytes beyond `end` may be truncated and rewritten.
        self._file = path.open("rb", buffering=0)
        found = header_at_start(self._file.read(LONGEST_HEADER_BYTES))
        # Without a header, assume the current layout; a record with any other layout fails its check.
        self._layout, self.start = found or (Layout(table.name, table.column_names), 0)
        self._seed = seed(number, self._layout)

    def next(self, position: int, end: int) -> Found | None:
        """Return the first sound record from `position` on, one without rows if the rest is lost, None at the end."""
        self._file.seek(position)
        head = self._file.read(min(HEAD_BYTES, end - position))
        length = length_of_rows(head)
        if length is not None and length <= end - position - HEAD_BYTES:
            packed = self._file.read(length)
            if is_sound(head, packed, self._seed):
                return Found(self._unpacked(packed), position + HEAD_BYTES + length, is_after_loss=False)
        # A file without even a header was either truncated or never finished; the reader cannot distinguish the two.
        return None if position >= end > 0 else self._after_damage(position, end)

    def close(self) -> None:
        self._file.close()

    def _after_damage(self, position: int, end: int) -> Found:
        """Return the next readable rows after a record that failed its check."""
        self._file.seek(position)
        rest = self._file.read(end - position)
        own_header = header(self._layout)
        if position == 0 and own_header.startswith(rest):
            log.warning("spool file holds no rows", file=str(self._path), bytes=len(rest))
            return Found([], end, is_after_loss=True)
        self.is_damaged = True
        next_start = next_record(rest, 0, self._seed)
        unreadable = rest[:next_start]
        if is_record_but_for_its_head(unreadable, self._seed):
            log.error("spool record header damaged: its rows are intact", file=str(self._path), position=position)
            return Found(self._unpacked(unreadable[HEAD_BYTES:]), position + len(unreadable), is_after_loss=False)
        log.error("spool file damaged: rows unreadable", file=str(self._path), position=position, bytes=len(unreadable))
        if next_start is None:
            return Found([], end, is_after_loss=True)
        found = self.next(position + next_start, end) or Found([], end, is_after_loss=True)
        is_header = position == 0 and next_start == len(own_header)
        return found._replace(is_after_loss=not is_header)

    def _unpacked(self, packed: bytes) -> list[Row]:
        return unpack(packed, self._layout.columns, self._table)
